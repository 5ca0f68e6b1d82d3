// JSON to and from the data model, with the key order that the deployed directory shows. spec/did-plc.md#json

import { DirectoryError } from '../errors.ts'
import { compareKeys, isCborArray, MAX_DEPTH, type CborValue } from './dag-cbor.ts'

/**
 * The value of what `JSON.parse` returned. Throws MALFORMED_JSON for what the data model lacks: numbers,
 * booleans, text with a lone surrogate, and nesting deeper than MAX_DEPTH.
 */
export function fromJson(json: unknown): CborValue {
  return valueOf(json, 0)
}

/** The JSON text of a value, without white space, keys in the order of `renderedKeys`. */
export function renderJson(value: CborValue): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value)
  if (isCborArray(value)) return `[${value.map(renderJson).join(',')}]`
  return `{${renderedKeys(value)
    .map((key) => `${JSON.stringify(key)}:${renderJson(value.get(key) ?? null)}`)
    .join(',')}}`
}

/**
 * A map's keys in the order in which the deployed directory shows them: those that look like array indices
 * (`0` to `4294967294`) first, by number; then the rest in DAG-CBOR's order.
 */
export function renderedKeys(map: ReadonlyMap<string, unknown>): string[] {
  return [...map.keys()].sort((a, b) => {
    const [x, y] = [arrayIndex(a), arrayIndex(b)]
    if (x !== null && y !== null) return x - y
    if (x !== null) return -1
    if (y !== null) return 1
    return compareKeys(a, b)
  })
}

function valueOf(json: unknown, depth: number): CborValue {
  if (json === null) return null
  if (typeof json === 'string') return wellFormed(json)
  if (typeof json !== 'object') throw new DirectoryError('MALFORMED_JSON', `a ${typeof json}`)
  if (depth >= MAX_DEPTH) throw new DirectoryError('MALFORMED_JSON', 'nested too deeply')
  if (Array.isArray(json)) return json.map((item) => valueOf(item, depth + 1))
  const map = new Map<string, CborValue>()
  for (const [key, value] of Object.entries(json)) map.set(wellFormed(key), valueOf(value, depth + 1))
  return map
}

function arrayIndex(key: string): number | null {
  const n = Number(key)
  return Number.isInteger(n) && n >= 0 && n <= 4_294_967_294 && String(n) === key ? n : null
}

function wellFormed(text: string): string {
  if (!text.isWellFormed()) throw new DirectoryError('MALFORMED_JSON', 'lone surrogate')
  return text
}
