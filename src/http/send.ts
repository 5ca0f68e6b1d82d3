// How an answer travels: validators, conditional requests, compression. spec/http.md#caching

import { hash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGzip, gzip } from 'node:zlib'
import type { Context } from 'koa'
import type { Answer } from './answer.ts'
import { LIMITS } from './limits.ts'

/** How an endpoint's answers are kept and packed. */
export interface Representation {
  /** Of a 200: ask again each time, keep for ever, keep never. Everything else is never kept. */
  readonly cache: keyof typeof CACHE_CONTROL
  /** Whether it is worth compressing. */
  readonly gzip: boolean
}

/** The values of `Cache-Control`. */
export const CACHE_CONTROL = {
  revalidate: 'no-cache',
  immutable: 'public, max-age=31536000, immutable',
  never: 'no-store',
} as const

/** On every answer, errors included. */
export const COMMON_HEADERS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'ETag, Location, Preference-Applied, Retry-After, Stele-Incident',
  'X-Content-Type-Options': 'nosniff',
} as const

/** Sends an answer: 304 where the client has it, compressed where that was asked for and pays. */
export async function send(ctx: Context, representation: Representation, answer: Answer): Promise<void> {
  const { status = 200, type, body, headers = {}, lastModified } = answer
  ctx.status = status
  ctx.set('Content-Type', type)
  ctx.set('Cache-Control', CACHE_CONTROL[status === 200 ? representation.cache : 'never'])
  ctx.set(headers)
  if (lastModified !== undefined) ctx.set('Last-Modified', new Date(lastModified).toUTCString())
  if (representation.gzip) ctx.vary('Accept-Encoding')
  const packed = representation.gzip && ctx.acceptsEncodings('gzip', 'identity') === 'gzip'

  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    sendPieces(ctx, body, packed)
    return
  }
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const gzipped = packed && bytes.length >= LIMITS.gzipMinBytes
  if (isReading(ctx) && status === 200 && representation.cache !== 'never') {
    ctx.set('ETag', `"${answer.tag ?? tagOf(bytes)}${gzipped ? '-gzip' : ''}"`)
    if (isFresh(ctx, answer)) {
      ctx.status = 304
      return
    }
  }
  if (gzipped) ctx.set('Content-Encoding', 'gzip')
  ctx.body = gzipped ? await promisify(gzip)(bytes) : bytes
}

/** The hash of a body, as in its `ETag`. */
export function tagOf(body: string | Uint8Array): string {
  return hash('sha256', body, 'base64url').slice(0, 22)
}

function sendPieces(ctx: Context, pieces: Iterable<string | Uint8Array> | AsyncIterable<Uint8Array>, packed: boolean): void {
  const readable = Readable.from(pieces, { objectMode: false })
  if (!packed) {
    ctx.body = readable
    return
  }
  ctx.set('Content-Encoding', 'gzip')
  // An error of either destroys both; who reads the packed one hears of it.
  ctx.body = pipeline(readable, createGzip(), () => undefined)
}

function isReading({ method }: Context): boolean {
  return method === 'GET' || method === 'HEAD'
}

// Two changes within one second have the same HTTP date: then only an ETag tells that nothing changed.
function isFresh(ctx: Context, { ambiguousDate = false }: Answer): boolean {
  return ctx.fresh && !(ambiguousDate && ctx.get('If-None-Match') === '')
}
