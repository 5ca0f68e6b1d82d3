// Reads the body of a request within its bounds. spec/http.md#submit

import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { DirectoryError } from '../core/errors.ts'
import { LIMITS } from './limits.ts'
import { Refusal } from './error-response.ts'

/**
 * The value of a JSON body: at most `bodyBytes`, plain or gzip, in UTF-8. An empty body
 * or another content type is `{}`, as in the deployed directory. Throws BODY_TOO_LARGE, BODY_INCOMPLETE,
 * BODY_NOT_GZIP, UNSUPPORTED_ENCODING, UNSUPPORTED_CHARSET, and the verdict MALFORMED_JSON.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const { type, charset } = contentType(request.headers['content-type'] ?? '')
  if (type !== 'application/json') return {}
  if (charset !== null && charset !== 'utf-8' && charset !== 'utf8') throw new Refusal('UNSUPPORTED_CHARSET', charset)
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding !== 'identity' && encoding !== 'gzip') throw new Refusal('UNSUPPORTED_ENCODING', encoding)
  const sent = await readSent(request)
  return parseJson(encoding === 'gzip' ? await unpack(sent) : sent)
}

/** The body as it was sent, at most `bodyBytes`. Throws BODY_TOO_LARGE, BODY_INCOMPLETE. */
export function readSent(request: IncomingMessage): Promise<Buffer> {
  return readBytes(request, LIMITS.bodyBytes)
}

/**
 * Whether a request has a body that was not read and is longer than one may be, or of unknown length: its connection
 * cannot be used again.
 */
export function leavesBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  return !request.complete && (encoding !== undefined || Number(length ?? 0) > LIMITS.bodyBytes)
}

/**
 * The text of a refusal as a stream that ends later: it keeps the connection open for `lingerSeconds`, in which the
 * request is read on, at most `lingerBytes` of it. A connection that is closed while bytes arrive is reset, and the
 * client would never see the refusal.
 */
export function lingering(request: IncomingMessage, text: string): Readable {
  return Readable.from((async function* () {
    yield text
    await drained(request)
  })(), { objectMode: false })
}

function drained(request: IncomingMessage): Promise<void> {
  if (request.destroyed || request.complete) return Promise.resolve()
  return new Promise((resolve) => {
    let length = 0
    const done = (): void => {
      clearTimeout(timer)
      request.off('data', onData).off('end', done).off('close', done).pause()
      resolve()
    }
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      if (length > LIMITS.lingerBytes) request.pause()
    }
    const timer = setTimeout(done, LIMITS.lingerSeconds * 1000)
    request.on('data', onData).once('end', done).once('close', done).resume()
  })
}

// By events, not by iteration: leaving an iteration early destroys the socket, and the answer with it.
function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(new Refusal('BODY_TOO_LARGE'))
  if (request.destroyed) return Promise.reject(new Refusal('BODY_INCOMPLETE'))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      if (length <= maxBytes) {
        chunks.push(chunk)
        return
      }
      request.off('data', onData).pause()
      reject(new Refusal('BODY_TOO_LARGE'))
    }
    request.on('data', onData)
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('error', () => reject(new Refusal('BODY_INCOMPLETE')))
    request.once('close', () => {
      if (!request.readableEnded) reject(new Refusal('BODY_INCOMPLETE'))
    })
  })
}

async function unpack(packed: Buffer): Promise<Buffer> {
  try {
    return await promisify(gunzip)(packed, { maxOutputLength: LIMITS.bodyBytes })
  } catch (error) {
    const tooLarge = error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
    throw new Refusal(tooLarge ? 'BODY_TOO_LARGE' : 'BODY_NOT_GZIP')
  }
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return {}
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    throw new DirectoryError('MALFORMED_JSON')
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function contentType(header: string): { type: string; charset: string | null } {
  const [type = '', ...parameters] = header.toLowerCase().split(';')
  const charset = parameters.map((parameter) => /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(parameter)?.[1]).find((name) => name !== undefined)
  return { type: type.trim(), charset: charset ?? null }
}
