// The mutator: knows bytes, lines, base64, numbers, JSON and CBOR, and nothing of what reads them.

import type { Random } from './random.ts'
import { bytesOf, editTree, NUMBERS, readCbor, readJson, sortKeys, textOf, writeCbor, writeJson, type Tree } from './tree.ts'

/** What a target's inputs look like. */
export type Form = 'bytes' | 'text' | 'json' | 'cbor'

/** What inputs are made from. */
export interface Corpus {
  readonly form: Form
  /** Valid inputs. */
  readonly seeds: readonly Uint8Array[]
  /** Words that mean something to the reader. */
  readonly words: readonly string[]
}

/** Longest input that is made. */
export const MAX_INPUT_BYTES = 120_000

/** An input: a seed, or what one to a few edits make of it. */
export function mutate(random: Random, corpus: Corpus): Uint8Array {
  const seed = random.pick(corpus.seeds)
  if (random.oneIn(20)) return seed
  const structured = (corpus.form === 'json' || corpus.form === 'cbor') && !random.oneIn(4)
  let input = structured ? mutateTree(random, corpus, seed) : seed
  if (structured && !random.oneIn(5)) return cut(input)
  const edits = corpus.form === 'bytes' || corpus.form === 'cbor' ? BYTE_EDITS : TEXT_EDITS
  for (let more = true; more; more = random.oneIn(2)) input = cut(random.pick(edits)(random, input, corpus))
  return input
}

type Edit = (random: Random, input: Uint8Array, corpus: Corpus) => Uint8Array

const trees = new WeakMap<Uint8Array, Tree>()

function mutateTree(random: Random, corpus: Corpus, seed: Uint8Array): Uint8Array {
  const words = corpus.words.length === 0 ? ['x'] : corpus.words
  const others = [treeOf(corpus, random.pick(corpus.seeds))]
  let tree = treeOf(corpus, seed)
  for (let more = true; more; more = random.oneIn(2)) tree = editTree(random, tree, others, words, editText)
  if (corpus.form === 'json') return bytesOf(writeJson(tree))
  return writeCbor(random.oneIn(8) ? tree : sortKeys(tree))
}

function treeOf({ form }: Corpus, seed: Uint8Array): Tree {
  const known = trees.get(seed) ?? (form === 'json' ? readJson(textOf(seed)) : readCbor(seed))
  trees.set(seed, known)
  return known
}

function editText(random: Random, text: string): string {
  const edit = random.pick(TEXT_EDITS)
  const corpus: Corpus = { form: 'text', seeds: [bytesOf(text)], words: ['\ud800', '\0', '\u{1f600}', '='] }
  return textOf(cut(edit(random, bytesOf(text), corpus)))
}

const flipBit: Edit = (random, input) => splice(
  input, random.below(input.length + 1), 1, (old) => Uint8Array.of((old[0] ?? 0) ^ (1 << random.below(8))),
)
const setByte: Edit = (random, input) => splice(input, random.below(input.length + 1), 1, () => Uint8Array.of(interestingByte(random)))
const insertBytes: Edit = (random, input) => {
  const bytes = Uint8Array.from({ length: random.pick([1, 1, 1, 2, 4, 32]) }, () => interestingByte(random))
  return splice(input, random.below(input.length + 1), 0, () => bytes)
}
const removeRange: Edit = (random, input) => splice(input, random.below(input.length + 1), rangeLength(random), () => NOTHING)
const repeatRange: Edit = (random, input) => {
  const times = random.oneIn(40) ? random.pick([100, 1_000, 5_000]) : random.pick([2, 2, 2, 3, 10])
  return splice(input, random.below(input.length + 1), rangeLength(random), (old) => repeat(old, times))
}
const moveRange: Edit = (random, input) => {
  const [from, length] = [random.below(input.length + 1), rangeLength(random)]
  const moved = input.subarray(from, from + length)
  const rest = splice(input, from, length, () => NOTHING)
  return splice(rest, random.below(rest.length + 1), 0, () => moved)
}
const crossSeeds: Edit = (random, input, { seeds }) => {
  const other = random.pick(seeds)
  const [at, from] = [random.below(input.length + 1), random.below(other.length + 1)]
  const aligned = random.oneIn(2)
  return Buffer.concat([input.subarray(0, at), other.subarray(aligned ? at : from)])
}
const lendRange: Edit = (random, input, { seeds }) => {
  const other = random.pick(seeds)
  const from = random.below(other.length + 1)
  const lent = other.subarray(from, from + rangeLength(random))
  return splice(input, random.below(input.length + 1), random.oneIn(2) ? lent.length : 0, () => lent)
}
const setNumber: Edit = (random, input) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(Math.trunc(random.pick(NUMBERS)))))
  const width = random.pick([1, 2, 4, 8])
  return splice(input, random.below(input.length + 1), width, () => bytes.subarray(8 - width))
}
const insertRun: Edit = (random, input) => {
  const length = random.oneIn(40) ? random.pick([5_000, 70_000]) : random.pick([3, 10, 100, 260])
  return splice(input, random.below(input.length + 1), 0, (_, next) => new Uint8Array(length).fill(random.oneIn(2) ? interestingByte(random) : next))
}
const breakUtf8: Edit = (random, input) => splice(
  input, random.below(input.length + 1), random.below(2), () => Buffer.from(random.pick(BROKEN_UTF8), 'latin1'),
)
const truncate: Edit = (random, input) => input.subarray(0, random.below(input.length + 1))
const insertWord: Edit = (random, input, { words }) => {
  if (words.length === 0) return insertBytes(random, input, { form: 'bytes', seeds: [], words })
  const word = bytesOf(random.pick(words))
  return splice(input, random.below(input.length + 1), random.oneIn(2) ? word.length : 0, () => word)
}

const swapLines: Edit = (random, input) => editLines(input, (lines) => {
  const [a, b] = [random.below(lines.length), random.below(lines.length)]
  const [first, second] = [lines[a] ?? '', lines[b] ?? '']
  return lines.with(a, second).with(b, first)
})
const repeatLine: Edit = (random, input) => editLines(input, (lines) => {
  const line = random.below(lines.length)
  return lines.toSpliced(
    random.oneIn(2) ? line : random.below(lines.length), 0, ...Array<string>(random.pick([1, 1, 1, 2, 99, 300])).fill(lines[line] ?? ''),
  )
})
const removeLine: Edit = (random, input) => editLines(input, (lines) => lines.toSpliced(random.below(lines.length), 1))
const lendLine: Edit = (random, input, { seeds }) => editLines(input, (lines) => {
  const line = random.pick(Buffer.from(random.pick(seeds)).toString('latin1').split('\n'))
  return lines.toSpliced(random.below(lines.length), random.below(2), line)
})
const editNumber: Edit = (random, input) => editMatch(random, input, /\d+/g, (digits) => {
  const n = Number(digits)
  return random.pick([
    String(n + 1), String(n - 1), `0${digits}`, `${digits}0`, `+${digits}`, ` ${digits}`, `${digits}.0`, `${digits}e0`, `0x${digits}`, '',
    ...NUMBERS.map(String), '9'.repeat(30), '18446744073709551615', '\xef\xbc\x91',
  ])
})
const editBase64: Edit = (random, input) => editMatch(random, input, /[A-Za-z0-9+/_-]{6,}={0,2}/g, (text) => {
  const bytes = Buffer.from(text, 'base64')
  const last = text.replace(/=+$/, '').length - 1
  switch (random.below(7)) {
    case 0:
      return `${text}=`
    case 1:
      return text.replace(/=+$/, '')
    case 2: // other bits where only padding is
      return text.slice(0, last) + String.fromCharCode(text.charCodeAt(last) ^ (1 << random.below(3))) + text.slice(last + 1)
    case 3:
      return bytes.toString('base64url')
    case 4:
      return Buffer.concat([bytes, Uint8Array.of(random.below(256))]).toString('base64')
    case 5:
      return bytes.subarray(0, -1).toString('base64')
    default:
      return Buffer.from(flipBit(random, bytes, { form: 'bytes', seeds: [], words: [] })).toString('base64')
  }
})
const changeCase: Edit = (random, input) => editMatch(
  random, input, /[A-Za-z]+/g, (word) => (random.oneIn(2) ? word.toUpperCase() : word.toLowerCase()),
)
const addSpace: Edit = (random, input) => splice(
  input, random.below(input.length + 1), 0,
  () => Buffer.from(random.pick([' ', '\n', '\r\n', '\t', '\n\n', '\xc2\xa0', '\xe2\x80\xa8', '\x7f', '\0']), 'latin1'),
)
const nest: Edit = (random, input) => {
  const times = random.oneIn(20) ? 20_000 : random.pick([1, 2, 5, 64, 65, 1_000])
  return splice(
    input, random.below(input.length + 1), 0, () => Buffer.from(random.pick(['[', '{"a":', '(', '\x81', '\xa1a']).repeat(times), 'latin1'),
  )
}

const BYTE_EDITS: readonly Edit[] = [
  flipBit, flipBit, setByte, setByte, insertBytes, insertBytes, removeRange, removeRange, repeatRange, moveRange, crossSeeds, lendRange,
  setNumber, setNumber, insertRun, breakUtf8, truncate, insertWord, nest,
]
const TEXT_EDITS: readonly Edit[] = [
  flipBit, setByte, insertBytes, removeRange, removeRange, repeatRange, moveRange, crossSeeds, lendRange, insertRun, breakUtf8, truncate, insertWord,
  swapLines, repeatLine, removeLine, lendLine, editNumber, editNumber, editBase64, editBase64, changeCase, addSpace, nest,
]

const NOTHING = new Uint8Array()

// Overlong forms, surrogates, beyond U+10FFFF, bytes that never stand, sequences cut short, a byte order mark.
const BROKEN_UTF8 = [
  '\xc0\x80', '\xc1\xbf', '\xe0\x80\xaf', '\xf0\x80\x80\x80', '\xed\xa0\x80', '\xed\xbf\xbf', '\xf4\x90\x80\x80', '\xf5\x80\x80\x80', '\xff',
  '\xfe', '\x80', '\xc3', '\xe2\x82', '\xf0\x9f\x98', '\xef\xbb\xbf', '\xf0\x9f\x98\x80', '\xef\xbf\xbd', '\xc3\xa9',
]

const BYTES: readonly number[] = [
  0x00, 0x01, 0x09, 0x0a, 0x0d, 0x1f, 0x20, 0x22, 0x2b, 0x2d, 0x2e, 0x2f, 0x30, 0x3a, 0x3d, 0x40, 0x60, 0x61, 0x7f, 0x80, 0x81, 0x9f, 0xa0,
  0xa1, 0xbf, 0xc2, 0xe2, 0xf0, 0xf6, 0xff,
]

function interestingByte(random: Random): number {
  return random.oneIn(2) ? random.pick(BYTES) : random.below(256)
}

function rangeLength(random: Random): number {
  return random.oneIn(4) ? random.below(200) : 1 + random.below(8)
}

/** The input with `remove` bytes at `at` replaced by what `make` gives for them and the byte at that place. */
function splice(input: Uint8Array, at: number, remove: number, make: (old: Uint8Array, next: number) => Uint8Array): Uint8Array {
  return Buffer.concat([input.subarray(0, at), make(input.subarray(at, at + remove), input[at] ?? 0x61), input.subarray(at + remove)])
}

function repeat(bytes: Uint8Array, times: number): Uint8Array {
  const most = Math.min(times, Math.floor(MAX_INPUT_BYTES / Math.max(1, bytes.length)))
  return Buffer.concat(Array<Uint8Array>(most).fill(bytes))
}

function editLines(input: Uint8Array, edit: (lines: readonly string[]) => readonly string[]): Uint8Array {
  return Buffer.from(edit(Buffer.from(input).toString('latin1').split('\n')).join('\n'), 'latin1')
}

function editMatch(random: Random, input: Uint8Array, pattern: RegExp, edit: (match: string) => string): Uint8Array {
  const text = Buffer.from(input).toString('latin1')
  const matches = [...text.matchAll(pattern)]
  if (matches.length === 0) return input
  const match = random.pick(matches)
  return Buffer.from(text.slice(0, match.index) + edit(match[0]) + text.slice(match.index + match[0].length), 'latin1')
}

function cut(input: Uint8Array): Uint8Array {
  return input.length > MAX_INPUT_BYTES ? input.subarray(0, MAX_INPUT_BYTES) : input
}
