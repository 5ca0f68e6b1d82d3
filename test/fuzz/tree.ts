// JSON and CBOR as trees in which everything can go wrong: repeated keys, keys in any order, what neither format allows.

import { decodeCbor, isCborArray, isCborMap, type CborValue } from '../../src/core/encoding/dag-cbor.ts'
import type { Random } from './random.ts'

/** A value. `raw` is written as it stands, a byte for each character. */
export type Tree = null | boolean | number | string | readonly Tree[] | Fields | { readonly raw: string }

/** A map or object. */
export interface Fields {
  readonly fields: readonly (readonly [key: string, value: Tree])[]
}

/** What a text becomes; chosen by the mutator of texts. */
export type EditText = (random: Random, text: string) => string

/** The tree of a JSON text. Throws for what is none. */
export function readJson(text: string): Tree {
  return fromJson(JSON.parse(text))
}

/** The tree of DAG-CBOR. Throws for what is none. */
export function readCbor(bytes: Uint8Array): Tree {
  return fromCbor(decodeCbor(bytes))
}

/** JSON text. */
export function writeJson(tree: Tree): string {
  if (tree === null || typeof tree !== 'object') return JSON.stringify(tree)
  if (isList(tree)) return `[${tree.map(writeJson).join(',')}]`
  if ('raw' in tree) return tree.raw
  return `{${tree.fields.map(([key, value]) => `${JSON.stringify(key)}:${writeJson(value)}`).join(',')}}`
}

/** CBOR, keys as they stand: sort them first for the canonical form. Lone surrogates are written as if they were characters. */
export function writeCbor(tree: Tree): Uint8Array {
  const parts: Uint8Array[] = []
  write(tree)
  return Buffer.concat(parts)

  function write(value: Tree): void {
    if (value === null) parts.push(Uint8Array.of(0xf6))
    else if (typeof value === 'boolean') parts.push(Uint8Array.of(value ? 0xf5 : 0xf4))
    else if (typeof value === 'number') parts.push(numberBytes(value))
    else if (typeof value === 'string') writeText(value)
    else if (isList(value)) {
      parts.push(head(4, value.length))
      value.forEach(write)
    } else if ('raw' in value) parts.push(Buffer.from(value.raw, 'latin1'))
    else {
      parts.push(head(5, value.fields.length))
      for (const [key, item] of value.fields) {
        writeText(key)
        write(item)
      }
    }
  }

  function writeText(text: string): void {
    const bytes = bytesOf(text)
    parts.push(head(3, bytes.length), bytes)
  }
}

/** Keys in DAG-CBOR's order, everywhere. */
export function sortKeys(tree: Tree): Tree {
  if (isList(tree)) return tree.map(sortKeys)
  if (tree === null || typeof tree !== 'object' || 'raw' in tree) return tree
  const sorted = tree.fields.map(([key, value]) => ({ key, bytes: bytesOf(key), value: sortKeys(value) }))
  sorted.sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes))
  return { fields: sorted.map(({ key, value }) => [key, value]) }
}

/** A tree with one edit: something replaced, removed, repeated, moved, renamed, wrapped. `others` lend parts. */
export function editTree(random: Random, tree: Tree, others: readonly Tree[], words: readonly string[], editText: EditText): Tree {
  return at(tree, random.below(countNodes(tree)), (node) => {
    switch (random.below(isInner(node) ? 10 : 6)) {
      case 0:
        return leaf(random, words)
      case 1:
        return nodeOf(random, random.pick(others))
      case 2:
        return wrap(random, node)
      case 3:
      case 4:
      case 5:
        if (typeof node === 'string') return editText(random, node)
        if (typeof node === 'number') return random.pick([node + 1, node - 1, node * 2, Math.floor(node / 2), -node, ...NUMBERS])
        return isInner(node) ? nodeOf(random, node) : leaf(random, words)
      default:
        return editItems(random, node, words)
    }
  })
}

/** A text's bytes; a lone surrogate as if it were a character. */
export function bytesOf(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text)
  const parts = text.split(/([\ud800-\udfff])/u) // with `u`, only lone ones
  return Buffer.concat(
    parts.map((part) => {
      const unit = part.charCodeAt(0)
      const lone = part.length === 1 && unit >= 0xd800 && unit < 0xe000
      return lone ? Buffer.of(0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)) : Buffer.from(part)
    }),
  )
}

/** The text of bytes, whatever they are: what `bytesOf` writes for a surrogate is one again, other rubbish is U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const latin = buffer.toString('latin1')
  if (!/\xed[\xa0-\xbf][\x80-\xbf]/.test(latin)) return buffer.toString()
  return latin
    .split(/(\xed[\xa0-\xbf][\x80-\xbf])/)
    .map((part, i) => {
      if (i % 2 === 0) return Buffer.from(part, 'latin1').toString()
      return String.fromCharCode(0xd000 | ((part.charCodeAt(1) & 0x3f) << 6) | (part.charCodeAt(2) & 0x3f))
    })
    .join('')
}

/** Numbers on both sides of what goes wrong. */
export const NUMBERS: readonly number[] = [
  0, -0, 1, -1, 23, 24, 53, 54, 63, 64, 255, 256, 257, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, 2 ** 52 + 1,
  2 ** 53 - 1, 2 ** 53 - 2, 2 ** 53, 2 ** 53 + 2, 2 ** 63, 2 ** 64, 1.5, 0.1, 1e21, 1e300,
]

const KEYS = ['', '__proto__', 'constructor', 'toString', 'type', 'sig', 'prev', '0', '10', '4294967295', '\u{10000}', '\uffff', 'a\0', 'é']

// Not in shortest form, not of the data model, not of the format at all.
const RAW = [
  '\x78\x01a', '\x98\x00', '\xb8\x00', '\x9f\xff', '\x7f\x61a\xff', '\xd8\x2a\x41\x00', '\xf7', '\xfb\x7f\xf8\0\0\0\0\0\0',
  '\x1b\0\x20\0\0\0\0\0\0', '\x5a\xff\xff\xff\xff', '\xf9\x00\x00', '1e999', '-0', '01', '"\\ud800"', '"\\u0000"', 'undefined',
  '{"a":1,"a":2}',
]

function leaf(random: Random, words: readonly string[]): Tree {
  switch (random.below(8)) {
    case 0:
      return null
    case 1:
      return random.oneIn(2)
    case 2:
      return random.pick(NUMBERS)
    case 3:
      return []
    case 4:
      return { fields: [] }
    case 5:
      return { raw: random.pick(RAW) }
    case 6:
      return random.pick(['', '\0', '\ud800', '\udc00x', '\u{1f600}', 'x'.repeat(random.pick([1, 23, 24, 255, 256, 257, 600]))])
    default:
      return random.pick(words)
  }
}

function wrap(random: Random, node: Tree): Tree {
  let wrapped = node
  const key = random.pick(KEYS)
  const listed = random.oneIn(2)
  for (let depth = random.pick([1, 1, 1, 1, 2, 3, 4, 5, 70]); depth > 0; depth--) wrapped = listed ? [wrapped] : { fields: [[key, wrapped]] }
  return wrapped
}

function editItems(random: Random, node: Tree, words: readonly string[]): Tree {
  if (isList(node)) return editList(random, node, () => leaf(random, words))
  if (node === null || typeof node !== 'object' || 'raw' in node) return node
  const { fields } = node
  if (random.oneIn(3) && fields.length > 0) {
    const renamed = random.below(fields.length)
    const key = random.pick([random.pick(KEYS), random.pick(words), random.pick(fields)[0]])
    return { fields: fields.map(([old, value], i) => [i === renamed ? key : old, value]) }
  }
  return { fields: editList(random, fields, () => [random.pick(random.oneIn(2) ? KEYS : words), leaf(random, words)] as const) }
}

function editList<T>(random: Random, items: readonly T[], make: () => T): T[] {
  const edited = [...items]
  if (edited.length === 0 || random.oneIn(4)) {
    edited.splice(random.below(edited.length + 1), 0, make())
    return edited
  }
  const [from, to] = [random.below(edited.length), random.below(edited.length)]
  const moved = random.oneIn(2) ? edited.splice(from, 1) : edited.slice(from, from + 1)
  switch (random.below(4)) {
    case 0:
      edited.splice(to, 0, ...moved)
      break
    case 1:
      for (let count = random.pick([1, 2, 10, 11, 30]); count > 0; count--) edited.push(...moved)
      break
    default:
  }
  return edited
}

function nodeOf(random: Random, tree: Tree): Tree {
  let found: Tree = tree
  at(tree, random.below(countNodes(tree)), (node) => (found = node))
  return found
}

/** The tree with its nth node, counted from the root down, changed. */
function at(tree: Tree, nth: number, change: (node: Tree) => Tree): Tree {
  let left = nth
  return visit(tree)

  function visit(node: Tree): Tree {
    if (left-- === 0) return change(node)
    if (left < 0 || !isInner(node)) return node
    if (isList(node)) return node.map((item) => (left < 0 ? item : visit(item)))
    if (node === null || typeof node !== 'object' || 'raw' in node) return node
    return { fields: node.fields.map(([key, value]) => (left < 0 ? [key, value] : [key, visit(value)])) }
  }
}

function countNodes(tree: Tree): number {
  if (isList(tree)) return tree.reduce<number>((count, item) => count + countNodes(item), 1)
  if (tree === null || typeof tree !== 'object' || 'raw' in tree) return 1
  return tree.fields.reduce((count, [, value]) => count + countNodes(value), 1)
}

function isInner(tree: Tree): boolean {
  return tree !== null && typeof tree === 'object' && !('raw' in tree)
}

function isList(tree: Tree): tree is readonly Tree[] {
  return Array.isArray(tree)
}

function fromJson(json: unknown): Tree {
  if (json === null || typeof json === 'boolean' || typeof json === 'number' || typeof json === 'string') return json
  if (Array.isArray(json)) return json.map(fromJson)
  return { fields: Object.entries(json ?? {}).map(([key, value]) => [key, fromJson(value)]) }
}

function fromCbor(value: CborValue): Tree {
  if (value === null || typeof value === 'string') return value
  if (isCborArray(value)) return value.map(fromCbor)
  return isCborMap(value) ? { fields: [...value].map(([key, item]) => [key, fromCbor(item)]) } : null
}

function head(major: number, count: number): Uint8Array {
  const bytes = Buffer.alloc(9)
  if (count < 24) return Uint8Array.of((major << 5) | count)
  const [info, width] = count < 0x100 ? [24, 1] : count < 0x10000 ? [25, 2] : count < 0x100000000 ? [26, 4] : [27, 8]
  bytes[0] = (major << 5) | info
  if (width === 8) bytes.writeBigUInt64BE(BigInt(count), 1)
  else bytes.writeUIntBE(count, 1, width)
  return bytes.subarray(0, 1 + width)
}

function numberBytes(n: number): Uint8Array {
  if (Number.isInteger(n) && Math.abs(n) < 2 ** 64) return n < 0 ? head(1, -1 - n) : head(0, n)
  const bytes = Buffer.alloc(9, 0xfb)
  bytes.writeDoubleBE(n, 1)
  return bytes
}
