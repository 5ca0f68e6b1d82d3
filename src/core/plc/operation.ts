// Operations: their shapes, what they say of an identity, and the bytes that are hashed and signed. spec/did-plc.md#operations

import { assert, DirectoryError } from '../errors.ts'
import { cidOf } from '../encoding/cid.ts'
import { encodeCbor, isCborArray, isCborMap, type CborMap, type CborValue } from '../encoding/dag-cbor.ts'
import { renderJson } from '../encoding/json.ts'

export type OperationType = 'plc_operation' | 'plc_tombstone' | 'create'

/** A signed operation of a valid shape. That its signature and its place in a chain are right is another question. */
export interface Operation {
  readonly type: OperationType
  /** As submitted, signature included. */
  readonly value: CborMap
  /** Its DAG-CBOR. */
  readonly bytes: Uint8Array
  /** Of `bytes`, in base32. */
  readonly cid: string
  /** As it is spelled: history also knows base58btc. */
  readonly prev: string | null
  /** As it is spelled: well formed or not. */
  readonly sig: string
}

/** Where a service is found. */
export interface ServiceEndpoint {
  readonly type: string
  readonly endpoint: string
}

/** What an operation says of an identity. */
export interface IdentityData {
  /** did:keys that may sign the next operation, strongest first. */
  readonly rotationKeys: readonly string[]
  readonly verificationMethods: ReadonlyMap<string, string>
  readonly alsoKnownAs: readonly string[]
  readonly services: ReadonlyMap<string, ServiceEndpoint>
}

/** What a new `plc_operation` says. */
export interface OperationFields extends IdentityData {
  /** CID of the operation that it follows; null for a genesis. */
  readonly prev: string | null
}

/** Longest detail of a verdict that quotes an operation, in UTF-16 code units: more than anything of 4,000 bytes needs. */
export const MAX_QUOTED = 32_768

/**
 * The operation that a value is. Throws INVALID_OPERATION, with the value's JSON as its detail, unless it has
 * exactly the fields of one of the three types. Limits are another matter: those of history are none.
 * `encoded` is the value's canonical DAG-CBOR, and `cid` what follows from it, where they are at hand.
 * spec/did-plc.md#operations
 */
export function parseOperation(value: CborValue, encoded?: Uint8Array, cid?: string): Operation {
  const shaped = shapeOperation(value)
  const bytes = encoded ?? encodeCbor(value)
  return { ...shaped, bytes, cid: cid ?? cidOf(bytes) }
}

/** As `parseOperation`, without what follows from the encoding. */
export function shapeOperation(value: CborValue): Omit<Operation, 'bytes' | 'cid'> {
  const type = typeOf(value)
  if (type === null || !isCborMap(value)) throw new DirectoryError('INVALID_OPERATION', quote(value))
  const { prev, sig } = { prev: value.get('prev'), sig: value.get('sig') }
  assert(typeof sig === 'string' && (prev === null || typeof prev === 'string'), 'the shape was checked')
  return { type, value, prev, sig }
}

/** What an operation says of its identity; null for a tombstone. A legacy `create` is normalised. spec/did-plc.md#create */
export function dataOf({ type, value }: Pick<Operation, 'type' | 'value'>): IdentityData | null {
  if (type === 'plc_tombstone') return null
  if (type === 'create') return normalizeCreate(value)
  const services = mapField(value, 'services')
  return {
    rotationKeys: textsField(value, 'rotationKeys'),
    verificationMethods: textMap(mapField(value, 'verificationMethods')),
    alsoKnownAs: textsField(value, 'alsoKnownAs'),
    services: new Map([...services.keys()].map((id) => [id, endpointOf(mapField(services, id))])),
  }
}

/** The did:keys that may sign what follows an operation, strongest first; none for a tombstone. spec/did-plc.md#chain */
export function rotationKeysOf(operation: Operation): readonly string[] {
  const { type, value } = operation
  if (type === 'plc_tombstone') return []
  if (type === 'create') return [textField(value, 'recoveryKey'), textField(value, 'signingKey')]
  return textsField(value, 'rotationKeys')
}

/** The bytes that an operation's signature is over: the DAG-CBOR of all its fields but `sig`. spec/did-plc.md#signatures */
export function unsignedBytes({ bytes, sig }: Operation): Uint8Array {
  // No key is as short as `sig`, so that it comes first; the head in one byte counts the fields.
  const at = SIG_KEY.length + encodeCbor(sig).length
  const unsigned = bytes.slice(at)
  unsigned[0] = (bytes[0] ?? 0) - 1
  return unsigned
}

const SIG_KEY = encodeCbor('sig')

/** An unsigned `plc_operation`, to be signed by `signOperation`. */
export function operationValue(fields: OperationFields): CborMap {
  return new Map<string, CborValue>([
    ['type', 'plc_operation'],
    ['rotationKeys', [...fields.rotationKeys]],
    ['verificationMethods', new Map(fields.verificationMethods)],
    ['alsoKnownAs', [...fields.alsoKnownAs]],
    [
      'services',
      new Map([...fields.services].map(([id, { type, endpoint }]) => [id, new Map(Object.entries({ type, endpoint }))])),
    ],
    ['prev', fields.prev],
  ])
}

/** An unsigned `plc_tombstone` that ends the identity after the operation with the CID `prev`. */
export function tombstoneValue(prev: string): CborMap {
  return new Map([
    ['type', 'plc_tombstone'],
    ['prev', prev],
  ])
}

/** An operation's JSON for the detail of a verdict, bounded. */
export function quote(value: CborValue): string {
  return renderJson(value).slice(0, MAX_QUOTED).toWellFormed()
}

type Check = (value: CborValue | undefined) => boolean

const isText: Check = (value) => typeof value === 'string'
const isTexts: Check = (value) => isCborArray(value) && value.every(isText)
const isTextMap: Check = (value) => isCborMap(value) && [...value.values()].every(isText)
const isService: Check = (value) => isCborMap(value) && hasShape(value, SERVICE)
const isServices: Check = (value) => isCborMap(value) && [...value.values()].every(isService)
const isNull: Check = (value) => value === null

/** Every field of a map, with what it has to be. */
type Shape = readonly (readonly [field: string, check: Check])[]

const SERVICE: Shape = Object.entries({ type: isText, endpoint: isText })

const SHAPES: Readonly<Record<OperationType, Shape>> = {
  plc_operation: Object.entries({
    type: isText,
    rotationKeys: isTexts,
    verificationMethods: isTextMap,
    alsoKnownAs: isTexts,
    services: isServices,
    prev: (value) => isNull(value) || isText(value),
    sig: isText,
  } satisfies Record<string, Check>),
  plc_tombstone: Object.entries({ type: isText, prev: isText, sig: isText }),
  create: Object.entries({ type: isText, signingKey: isText, recoveryKey: isText, handle: isText, service: isText, prev: isNull, sig: isText }),
}

function typeOf(value: CborValue): OperationType | null {
  if (!isCborMap(value)) return null
  for (const type of ['plc_operation', 'plc_tombstone', 'create'] as const) {
    if (value.get('type') === type) return hasShape(value, SHAPES[type]) ? type : null
  }
  return null
}

function hasShape(value: CborMap, shape: Shape): boolean {
  return value.size === shape.length && shape.every(([field, check]) => check(value.get(field)))
}

function normalizeCreate(value: CborMap): IdentityData {
  const [signingKey, recoveryKey] = [textField(value, 'signingKey'), textField(value, 'recoveryKey')]
  return {
    rotationKeys: [recoveryKey, signingKey],
    verificationMethods: new Map([['atproto', signingKey]]),
    alsoKnownAs: [handleUri(textField(value, 'handle'))],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: serviceUrl(textField(value, 'service')) }]]),
  }
}

// The first `http://`, then the first `https://`, wherever they stand: what the deployed directory removes.
function handleUri(handle: string): string {
  return handle.startsWith('at://') ? handle : `at://${without(without(handle, 'http://'), 'https://')}`
}

function without(text: string, part: string): string {
  const at = text.indexOf(part)
  return at < 0 ? text : text.slice(0, at) + text.slice(at + part.length)
}

function serviceUrl(service: string): string {
  return service.startsWith('http://') || service.startsWith('https://') ? service : `https://${service}`
}

function endpointOf(service: CborMap): ServiceEndpoint {
  return { type: textField(service, 'type'), endpoint: textField(service, 'endpoint') }
}

function textField(value: CborMap, field: string): string {
  return text(value.get(field))
}

function textsField(value: CborMap, field: string): readonly string[] {
  const items = value.get(field)
  assert(isCborArray(items), 'an operation keeps the shape it was parsed with')
  return items.map(text)
}

function mapField(value: CborMap, field: string): CborMap {
  const map = value.get(field)
  assert(isCborMap(map), 'an operation keeps the shape it was parsed with')
  return map
}

function textMap(map: CborMap): ReadonlyMap<string, string> {
  return new Map([...map].map(([key, value]) => [key, text(value)]))
}

function text(value: CborValue | undefined): string {
  assert(typeof value === 'string', 'an operation keeps the shape it was parsed with')
  return value
}
