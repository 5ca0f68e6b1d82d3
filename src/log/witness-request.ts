// Asking a witness over HTTP: bounded in time and bytes, redirects not followed. spec/log.md#witnesses

import { WRITER_LIMITS } from './limits.ts'

/** What a witness answered. Nothing in it is trusted. */
export interface WitnessReply {
  readonly status: number
  /** The Content-Type; empty where there is none. */
  readonly type: string
  readonly body: string
}

/** Posts a body, or gets where it is null. Throws where no whole answer came within the bounds, or the signal was aborted. */
export type AskWitness = (url: string, body: string | null, signal: AbortSignal) => Promise<WitnessReply>

/** Asks over the network. Throws an Error whose message says in a few words what happened. */
export const askWitness: AskWitness = async (url, body, signal) => {
  try {
    const response = await fetch(url, { method: body === null ? 'GET' : 'POST', body, signal, redirect: 'manual' })
    return { status: response.status, type: response.headers.get('content-type') ?? '', body: await readBody(response) }
  } catch (error) {
    signal.throwIfAborted()
    // What fetch says is "fetch failed"; what happened stands in its cause.
    const cause: unknown = error instanceof Error ? (error.cause ?? error) : error
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    throw new Error(code || (cause instanceof Error ? cause.message : String(cause)), { cause: error })
  }
}

async function readBody(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response.body ?? []) {
    length += part.length
    if (length > WRITER_LIMITS.witnessAnswerBytes) throw new Error(`it answered with more than ${WRITER_LIMITS.witnessAnswerBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
