// Taking operations: the answer comes when they are durable and, where asked for, when a checkpoint covers them.
// spec/http.md#submit

import type { IncomingMessage } from 'node:http'
import { DirectoryError } from '../core/errors.ts'
import { admitJson } from '../core/plc/admission.ts'
import { didOf, isDid } from '../core/plc/did.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import { readJson, readSent } from './body.ts'
import { LIMITS } from './limits.ts'
import type { CounterPorts, ForwardPort, Taken } from './ports.ts'

/** Reads the operation of a submission, admits it and submits it. Throws what `readJson` throws, and the verdict. */
export async function takeOperation(ports: Pick<CounterPorts, 'submit'>, did: string, request: IncomingMessage): Promise<Taken> {
  const operation = admitJson(await readJson(request))
  // No hash is equal to what is no DID, whatever was signed.
  if (!isDid(did)) throw new DirectoryError('GENESIS_HASH', didOf(operation.bytes))
  return { operation, submitted: await ports.submit(did, operation) }
}

/** POST /:did */
export async function postOperation(call: Call): Promise<Answer> {
  const did = param(call, 'did')
  const { forward } = call.ports
  // What names no identity is refused here as there, and never becomes a part of another directory's address.
  if (forward !== undefined && forward !== null && isDid(did)) return forwarded(call, did, forward)
  const { operation, submitted } = await (call.taking ?? takeOperation(call.ports, did, call.request))
  if (submitted.outcome === 'unavailable') {
    const { retryAfterS, reason } = submitted
    const headers = retryAfterS === null ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterS))) }
    return { status: 503, type: TYPES.json, body: JSON.stringify({ message: reason }), headers }
  }

  const waitSeconds = preferredWait(call.headers['prefer'])
  const covered = await isCovered(call, submitted.index, waitSeconds ?? 0)
  const headers = waitSeconds === null ? {} : { 'Preference-Applied': `wait=${waitSeconds}` }
  if (!covered && waitSeconds !== null) {
    const location = `/${did}/log/${operation.cid}/proof`
    return { status: 202, type: TYPES.text, body: 'OK', headers: { ...headers, Location: location } }
  }
  const wantsReceipt = call.accepts('text/plain', 'text/x.tlog-proof') === 'text/x.tlog-proof'
  const receipt = covered && wantsReceipt ? await call.receiptOf(submitted.index) : null
  if (receipt !== null) return { type: TYPES.receipt, body: receipt, headers }
  return { type: TYPES.text, body: 'OK', headers }
}

async function forwarded({ request, response, headers }: Call, did: string, forward: ForwardPort): Promise<Answer> {
  const body = await readSent(request)
  const left = new AbortController()
  const leave = (): void => left.abort()
  response.once('close', leave)
  try {
    return await forward({ did, body, headers }, left.signal)
  } finally {
    response.off('close', leave)
  }
}

/** The seconds that a `Prefer` header asks to wait, at most `waitSeconds`; null where it does not. RFC 7240 section 4.3 */
export function preferredWait(header: string | string[] | undefined): number | null {
  const preferences = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',')
  for (const preference of preferences) {
    const [, seconds] = /^\s*wait\s*=\s*"?(\d+)"?\s*(?:;|$)/i.exec(preference) ?? []
    if (seconds !== undefined) return Math.min(Number(seconds), LIMITS.waitSeconds)
  }
  return null
}

// Whether a published checkpoint covers the entry before the wait is over, or the client has gone.
async function isCovered({ ports, response }: Call, index: number, waitSeconds: number): Promise<boolean> {
  if (ports.tip.published > index) return true
  if (waitSeconds === 0 || response.destroyed) return false
  const over = new AbortController()
  const end = (): void => over.abort()
  const timer = setTimeout(end, waitSeconds * 1000)
  response.once('close', end)
  try {
    await ports.tip.pastPublished(index, over.signal)
    return true
  } catch (error) {
    if (over.signal.aborted) return false
    throw error
  } finally {
    clearTimeout(timer)
    response.off('close', end)
  }
}
