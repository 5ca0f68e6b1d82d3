// What a directory accepts today, beside what is valid for ever: sizes, counts, rates. Never used in replay.
// spec/did-plc.md#admission

import { assert, DirectoryError, verdictOf } from '../errors.ts'
import { parseCid } from '../encoding/cid.ts'
import { isCborArray, type CborValue } from '../encoding/dag-cbor.ts'
import { fromJson } from '../encoding/json.ts'
import { disputedLink, parentOf, prevCid, type Chain, type Link } from './chain.ts'
import { multikeyCurve } from './did-key.ts'
import { dataOf, parseOperation, quote, type Operation } from './operation.ts'

/** Every number of the admission rules. Lengths are in UTF-16 code units. spec/did-plc.md#limits */
export const ADMISSION_LIMITS = {
  operationBytes: 4000,
  alsoKnownAs: 10,
  alsoKnownAsLength: 258,
  rotationKeys: 10,
  services: 10,
  serviceIdLength: 32,
  serviceTypeLength: 256,
  serviceEndpointLength: 512,
  verificationMethods: 10,
  verificationMethodIdLength: 32,
  verificationMethodKeyLength: 256,
  operationsPerHour: 10,
  operationsPerDay: 30,
  operationsPerWeek: 100,
  allOperationsFactor: 3,
  sparedUpdatesPerDay: 3,
} as const

/**
 * The operation in the parsed JSON body of a submission. The checks come in the deployed order: an object, its
 * size, its shape, then `admitOperation`. Throws INVALID_OPERATION (with the body's JSON), OPERATION_TOO_LARGE,
 * and what `admitOperation` throws. spec/did-plc.md#admission
 */
export function admitJson(body: unknown): Operation {
  const { bytes, depth } = measure(body)
  const fits = bytes <= ADMISSION_LIMITS.operationBytes
  const refusal = (): DirectoryError => new DirectoryError('INVALID_OPERATION', fits && depth <= MAX_QUOTED_DEPTH ? JSON.stringify(body) : undefined)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw refusal()
  if (!fits) throw new DirectoryError('OPERATION_TOO_LARGE')
  const operation = verdictOf(() => parseOperation(fromJson(body))).value
  if (operation === null) throw refusal()
  admitOperation(operation)
  return operation
}

/**
 * Checks an operation against the limits. Throws the verdict of the first that it exceeds, INVALID_OPERATION for a
 * legacy `create` or a NUL in any text, and MISORDERED for a `prev` that is not a CID in base32.
 * spec/did-plc.md#limits
 */
export function admitOperation(operation: Operation): void {
  if (operation.bytes.length > ADMISSION_LIMITS.operationBytes) throw new DirectoryError('OPERATION_TOO_LARGE')
  // A byte of zero is no proof of a NUL in a text, but there is none without it.
  if (operation.type === 'create' || (operation.bytes.includes(0) && holdsNul(operation.value))) {
    throw new DirectoryError('INVALID_OPERATION', quote(operation.value))
  }
  const data = dataOf(operation)
  if (data !== null) {
    admitAlsoKnownAs(data.alsoKnownAs)
    admitRotationKeys(data.rotationKeys)
    admitServices(data.services)
    admitVerificationMethods(data.verificationMethods)
  }
  const { prev } = operation
  if (prev !== null && verdictOf(() => parseCid(prev)).verdict !== null) throw new DirectoryError('MISORDERED')
}

/**
 * Checks that an identity may have one more operation at `now` (milliseconds since 1970). Throws RATE_LIMITED, and
 * as `disputedLink` for an operation without a place in the chain. spec/did-plc.md#rates
 */
export function checkRate(chain: Chain, operation: Operation, now: number): void {
  const parent = parentOf(chain, operation)
  if (parent !== null && disputedLink(chain, operation) !== null) {
    charge(chargedToRecovery(chain, parent), now, 1)
  } else {
    charge(chain.links.filter((link) => !link.nullified), now, 1)
    if (!isSpared(chain, now)) charge(chain.links, now, ADMISSION_LIMITS.allOperationsFactor)
  }
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS
const MAX_QUOTED_DEPTH = 64

const WINDOWS = [
  { name: 'week', ms: WEEK_MS, limit: ADMISSION_LIMITS.operationsPerWeek },
  { name: 'day', ms: DAY_MS, limit: ADMISSION_LIMITS.operationsPerDay },
  { name: 'hour', ms: HOUR_MS, limit: ADMISSION_LIMITS.operationsPerHour },
] as const

function charge(links: readonly Link[], now: number, factor: number): void {
  for (const { name, ms, limit } of WINDOWS) {
    const max = limit * factor
    if (links.filter((link) => link.createdAt > now - ms).length >= max) throw new DirectoryError('RATE_LIMITED', `${name} (max ${max})`)
  }
}

// What a thief signed is what a recovery nullifies, so it is not held against the owner: only the chain up to the
// operation named by `prev` is, and the earlier forks there, of which the rules allow nine.
function chargedToRecovery(chain: Chain, parent: number): Link[] {
  const prev = chain.links[parent]?.operation.cid
  assert(prev !== undefined, 'the parent is a link of the chain')
  return chain.links.filter((link, position) => (link.nullified ? prevCid(link.operation) === prev : position <= parent))
}

// After a recovery, what it nullified would lock the owner out. Updates count from the first recovery at the place
// where the oldest one in effect stands, nullified updates too: otherwise forks upon forks would earn updates anew.
function isSpared(chain: Chain, now: number): boolean {
  const plain: boolean[] = []
  const firstRecovery = new Map<string | null, number>()
  const followed = new Set<string | null>()
  for (const [position, { operation }] of chain.links.entries()) {
    const place = prevCid(operation)
    plain.push(!followed.has(place)) // Only a recovery can follow what another operation followed before it.
    if (followed.has(place) && !firstRecovery.has(place)) firstRecovery.set(place, position)
    followed.add(place)
  }
  const oldest = chain.links.find((link, position) => plain[position] === false && !link.nullified && link.createdAt > now - WEEK_MS)
  if (oldest === undefined) return false
  const from = firstRecovery.get(prevCid(oldest.operation)) ?? 0
  const updates = chain.links.filter((link, position) => position > from && plain[position] === true && link.createdAt > now - DAY_MS)
  return updates.length < ADMISSION_LIMITS.sparedUpdatesPerDay
}

function admitAlsoKnownAs(names: readonly string[]): void {
  if (names.length > ADMISSION_LIMITS.alsoKnownAs) throw new DirectoryError('TOO_MANY_ALSO_KNOWN_AS')
  const seen = new Set<string>()
  for (const name of names) {
    if (name.length > ADMISSION_LIMITS.alsoKnownAsLength) throw new DirectoryError('ALSO_KNOWN_AS_TOO_LONG', name)
    if (seen.has(name)) throw new DirectoryError('DUPLICATE_ALSO_KNOWN_AS', name)
    seen.add(name)
  }
}

function admitRotationKeys(keys: readonly string[]): void {
  if (keys.length > ADMISSION_LIMITS.rotationKeys) throw new DirectoryError('TOO_MANY_ROTATION_KEYS')
  for (const key of keys) {
    if (multikeyCurve(key) === null) throw new DirectoryError('INVALID_ROTATION_KEY', key)
  }
}

function admitServices(services: ReadonlyMap<string, { readonly type: string; readonly endpoint: string }>): void {
  if (services.size > ADMISSION_LIMITS.services) throw new DirectoryError('TOO_MANY_SERVICES')
  for (const [id, { type, endpoint }] of services) {
    if (id.length > ADMISSION_LIMITS.serviceIdLength) throw new DirectoryError('SERVICE_ID_TOO_LONG', id)
    if (type.length > ADMISSION_LIMITS.serviceTypeLength) throw new DirectoryError('SERVICE_TYPE_TOO_LONG')
    if (endpoint.length > ADMISSION_LIMITS.serviceEndpointLength) throw new DirectoryError('SERVICE_ENDPOINT_TOO_LONG')
  }
}

function admitVerificationMethods(methods: ReadonlyMap<string, string>): void {
  if (methods.size > ADMISSION_LIMITS.verificationMethods) throw new DirectoryError('TOO_MANY_VERIFICATION_METHODS')
  for (const [id, key] of methods) {
    if (id.length > ADMISSION_LIMITS.verificationMethodIdLength) throw new DirectoryError('VERIFICATION_METHOD_ID_TOO_LONG', id)
    if (key.length > ADMISSION_LIMITS.verificationMethodKeyLength) throw new DirectoryError('VERIFICATION_METHOD_KEY_TOO_LONG', key)
    if (!isAnyDidKey(key)) throw new DirectoryError('INVALID_VERIFICATION_METHOD_KEY', key)
  }
}

// Any kind of key, or none: documents show what they do not understand.
function isAnyDidKey(text: string): boolean {
  return ANY_DID_KEY.test(text)
}

// Whatever is made of base 58 digits can be decoded, and in one way.
const ANY_DID_KEY = /^did:key:z[1-9A-HJ-NP-Za-km-z]*$/

function holdsNul(value: CborValue): boolean {
  if (value === null) return false
  if (typeof value === 'string') return value.includes('\0')
  if (isCborArray(value)) return value.some(holdsNul)
  return [...value].some(([key, item]) => key.includes('\0') || holdsNul(item))
}

/**
 * The size of a JSON value in DAG-CBOR, and its depth, without encoding it: numbers and booleans count too, and no
 * nesting can exhaust the stack. Stops, with a size that is too large, as soon as it exceeds the limit.
 */
function measure(json: unknown): { bytes: number; depth: number } {
  let bytes = 0
  let depth = 0
  // What was found and not measured yet, and how deep.
  const open: unknown[] = [json]
  const levels = [0]
  const found = (value: unknown, level: number): void => {
    open.push(value)
    levels.push(level)
  }
  while (open.length > 0 && bytes <= ADMISSION_LIMITS.operationBytes) {
    const value = open.pop()
    const level = levels.pop() ?? 0
    depth = Math.max(depth, level)
    if (typeof value === 'string') {
      bytes += sizeOfText(value)
    } else if (typeof value === 'number') {
      bytes += Number.isSafeInteger(value) ? sizeOfHeader(value < 0 ? -1 - value : value) : 9
    } else if (Array.isArray(value)) {
      bytes += sizeOfHeader(value.length)
      for (const item of value) found(item, level + 1)
    } else if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value)
      bytes += sizeOfHeader(entries.length)
      for (const [key, item] of entries) {
        bytes += sizeOfText(key)
        found(item, level + 1)
      }
    } else {
      bytes += 1
    }
  }
  return { bytes, depth }
}

function sizeOfText(text: string): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const point = text.charCodeAt(i) < 0x80 ? 0 : (text.codePointAt(i) ?? 0)
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    if (point >= 0x10000) i++
  }
  return sizeOfHeader(bytes) + bytes
}

function sizeOfHeader(argument: number): number {
  return argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x10000 ? 3 : argument < 0x100000000 ? 5 : 9
}
