// DAG-CBOR as an independent implementation has it, and which of its values are in our data model.

import * as ipld from '@ipld/dag-cbor'

/** How deep maps and arrays may lie inside of one another. */
const DEPTH = 4

/** Their bytes. Throws where they have none. */
export function encodeTheirs(value: unknown): Uint8Array {
  return new Uint8Array(ipld.encode(value)) // which gives a Buffer for large values
}

/** Their value; null where they refuse the bytes. */
export function decodeTheirs(bytes: Uint8Array): { value: unknown } | null {
  try {
    return { value: ipld.decode(bytes) }
  } catch {
    return null
  }
}

/** Whether a value, so deep inside of another, is one that we have: text, null, arrays and maps, and not too deep. */
export function inModel(value: unknown, depth = 0): boolean {
  if (value === null) return true
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || depth >= DEPTH || value instanceof Uint8Array) return false
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return false
  return Object.values(value).every((item) => inModel(item, depth + 1))
}
