// From a handle to a DID: DNS first, then HTTPS, both asked by functions that the caller brings. docs/identities.md#resolving

import { isDid } from '../core/plc/did.ts'

/** How a handle's owner is asked. */
export interface HandleLookup {
  /** The texts of the TXT records of a name, each in one piece; none where there are none. Throws where DNS does not answer. */
  txt(name: string): Promise<readonly string[]>
  /** The body at an https:// address; null where there is none. Throws where the server does not answer. */
  get(url: string): Promise<string | null>
}

/** What a handle is said to be. */
export interface ResolvedHandle {
  readonly handle: string
  readonly did: string
  readonly by: 'DNS' | 'HTTPS'
}

/** A handle that leads nowhere, in words. They quote what DNS or a server answered, which is not to be trusted. */
export class HandleError extends Error {
  override readonly name = 'HandleError'
}

const MAX_LENGTH = 253
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const MAX_QUOTED = 120

/** Top-level names that belong to nobody, so that no handle below them can be resolved. `test` is left for those who try things out. */
const RESERVED = new Set(['alt', 'arpa', 'example', 'internal', 'invalid', 'local', 'localhost', 'onion'])

/** The handle in a text, in lower case, without `@` or `at://` before it; null for a text that is none by the syntax of handles. */
export function parseHandle(text: string): string | null {
  const handle = text.replace(/^(?:@|at:\/\/)/, '').toLowerCase()
  const labels = handle.split('.')
  const last = labels.at(-1) ?? ''
  const valid = handle.length <= MAX_LENGTH && labels.length >= 2 && labels.every((label) => LABEL.test(label)) && /^[a-z]/.test(last)
  return valid ? handle : null
}

/** The DID that a handle (as `parseHandle` gives it) names. Throws HandleError where it names none, several, or one of another method. */
export async function resolveHandle(handle: string, lookup: HandleLookup): Promise<ResolvedHandle> {
  const top = handle.slice(handle.lastIndexOf('.') + 1)
  if (RESERVED.has(top)) throw new HandleError(`${handle} cannot be resolved: names below .${top} are reserved and belong to nobody`)
  const name = `_atproto.${handle}`
  const records = await attempt(() => lookup.txt(name))
  const [did, ...others] = new Set((records.value ?? []).filter((text) => text.startsWith('did=')).map((text) => text.slice('did='.length).trim()))
  if (others.length > 0) throw new HandleError(`${name} has ${others.length + 1} TXT records that name different DIDs: ${[did, ...others].map((text) => quote(text ?? '')).join(', ')}. Only one may stay`)
  if (did !== undefined) return { handle, did: requirePlc(did, `the TXT record ${name}`), by: 'DNS' }

  const url = `https://${handle}/.well-known/atproto-did`
  const body = await attempt(() => lookup.get(url))
  if (typeof body.value === 'string') return { handle, did: requirePlc(body.value.trim(), url), by: 'HTTPS' }
  const dns = records.failure === null ? `DNS has no TXT record ${name} with did=...` : `DNS could not be asked for ${name} (${records.failure})`
  const https = body.failure === null ? `${url} answers nothing` : `${url} does not answer (${body.failure})`
  throw new HandleError(`${handle} names no DID: ${dns}, and ${https}`)
}

function requirePlc(text: string, where: string): string {
  if (isDid(text)) return text
  if (text.startsWith('did:web:')) throw new HandleError(`${where} names ${quote(text)}: a did:web is a document on a web server, which no directory knows; only did:plc can be resolved here`)
  throw new HandleError(`${where} says ${quote(text)}, which is not a did:plc identifier`)
}

function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text)
}

async function attempt<T>(work: () => Promise<T>): Promise<{ readonly value: T | null; readonly failure: string | null }> {
  try {
    return { value: await work(), failure: null }
  } catch (error) {
    return { value: null, failure: error instanceof Error ? error.message : String(error) }
  }
}
