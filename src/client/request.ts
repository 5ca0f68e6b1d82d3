// HTTP requests that end: bounded bodies, bounded time, and another try where another try can help. spec/http.md#conventions

/** What a request may be given; everything has a default. */
export interface RequestOptions {
  /** Default: the platform's `fetch`. */
  readonly fetch?: typeof fetch
  /** Aborts everything under way. */
  readonly signal?: AbortSignal
  /** Attempts in all. Default 5. */
  readonly attempts?: number
  /** Longest time that one attempt may take, body included, milliseconds. Default 30,000. */
  readonly timeoutMs?: number
  /** First wait between attempts, milliseconds; it doubles each time. Default 250. */
  readonly backoffMs?: number
  /** Waits between attempts. Default: `sleep`. */
  readonly sleep?: typeof sleep
}

/** One request. */
export interface Request {
  readonly url: string
  /** Longest body that is read, bytes. */
  readonly maxBytes: number
  readonly method?: 'GET' | 'POST'
  /** JSON text to send. */
  readonly json?: string
}

/** A complete answer with status 200. */
export interface Answer {
  readonly body: Uint8Array
  readonly headers: Headers
}

/** Longest wait that a server may ask for, milliseconds; a longer one is cut to it. */
export const MAX_RETRY_AFTER_MS = 60_000

/** Characters that are kept of a server's own words. */
export const MAX_ERROR_WORDS = 2_000

/** A server answered with another status than 200. The message carries the server's own words, which are not to be trusted. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
  readonly url: string
  readonly status: number
  /** How long the server asks to wait before the next try, milliseconds; null where it does not. */
  readonly retryAfterMs: number | null

  constructor(url: string, status: number, words: string, retryAfterMs: number | null) {
    super(words === '' ? `${url} answered ${status}` : words)
    this.url = url
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

/** No answer came, or one that cannot be read: an incident, after all attempts. `cause` says what happened. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
  readonly url: string

  constructor(url: string, reason: string, cause: unknown) {
    super(`${url} cannot be reached: ${reason}`, { cause })
    this.url = url
  }
}

/**
 * Sends a request and reads the answer. Status 429 and 5xx and a failing network are tried again, after what
 * `Retry-After` says or a wait that doubles; every request that is sent here may be repeated safely. Redirects are not
 * followed: a server may not send who asks it to where only that machine is let in. Throws ServerError for any other status
 * or when the attempts are used up, UnreachableError where no complete answer within the bounds came, and the signal's
 * reason once it is aborted.
 */
export async function request(asked: Request, options: RequestOptions = {}): Promise<Answer> {
  const { attempts = 5, backoffMs = 250, sleep: wait = sleep, signal } = options
  for (let attempt = 1; ; attempt++) {
    const outcome = await tryOnce(asked, options)
    if ('body' in outcome) return outcome
    signal?.throwIfAborted()
    if (!outcome.again || attempt >= attempts) throw outcome.error
    await wait(outcome.waitMs ?? backoffMs * 2 ** (attempt - 1), signal)
  }
}

/** Resolves after `ms` milliseconds; throws the signal's reason once it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

interface Failure {
  readonly error: ServerError | UnreachableError
  /** Whether another attempt can help. */
  readonly again: boolean
  /** How long the server asks to wait, milliseconds. */
  readonly waitMs: number | null
}

/** Asking again would bring the same. */
class LastingError extends Error {}

async function tryOnce(asked: Request, { fetch: send = fetch, signal, timeoutMs = 30_000 }: RequestOptions): Promise<Answer | Failure> {
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const response = await send(asked.url, {
      method: asked.method ?? 'GET',
      redirect: 'manual',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      ...(asked.json === undefined ? {} : { body: asked.json, headers: { 'content-type': 'application/json' } }),
    })
    if (response.status === 200) return { body: await readBody(response, asked.maxBytes), headers: response.headers }
    // A browser does not say where to: its answer has no status.
    if (response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) throw new LastingError('it redirects, which is not followed: give its true address')
    const words = wordsOf(await readBody(response, MAX_ERROR_BYTES).catch(() => new Uint8Array()))
    const again = response.status === 429 || response.status >= 500
    const waitMs = retryAfterMs(response.headers)
    return { error: new ServerError(asked.url, response.status, words, waitMs), again, waitMs }
  } catch (error) {
    return { error: new UnreachableError(asked.url, reasonOf(error), error), again: !(error instanceof LastingError), waitMs: null }
  }
}

const MAX_ERROR_BYTES = 65_536

async function readBody(response: Response, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  const reader = response.body?.getReader()
  for (;;) {
    const read = await reader?.read()
    if (read === undefined || read.done) break
    length += read.value.length
    if (length > maxBytes) {
      await reader?.cancel().catch(() => undefined)
      throw new LastingError(`more than ${maxBytes} bytes`)
    }
    parts.push(read.value)
  }
  const body = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    body.set(part, at)
    at += part.length
  }
  return body
}

// Errors are `{"message": "..."}`; anything else, such as a proxy's page, is not worth showing.
function wordsOf(body: Uint8Array): string {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(body))
    return typeof json === 'object' && json !== null && 'message' in json && typeof json.message === 'string' ? json.message.slice(0, MAX_ERROR_WORDS) : ''
  } catch {
    return ''
  }
}

function retryAfterMs(headers: Headers): number | null {
  const text = headers.get('retry-after')
  if (text === null) return null
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}

// What fetch says is "fetch failed"; what happened stands in its cause.
function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error && cause.message !== '') return cause.message
  if (cause instanceof Error && 'code' in cause) return String(cause.code)
  return error instanceof Error ? error.message : String(error)
}
