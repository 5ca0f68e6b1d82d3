// What a notary makes of what its upstream shows: entries of its own log, or lines set aside, and how far it has read, all in
// one transaction. Only this writes to its store. spec/mirror.md#notary

import type { LedgerRecord } from '../src/core/plc/records.ts'
import type { DirectoryError } from '../src/core/errors.ts'
import { prepareBatch, writeBatch, type BatchOptions, type BatchOutcome, type PreparedBatch, type WrittenBatch } from '../src/log/sourced-batch.ts'
import type { NumberRun, SetAside, Store, UpstreamNotes, UpstreamPosition } from '../src/storage/store.ts'
import type { Tip } from '../src/storage/tip.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { keyOf, type ShownLine } from './plain-line.ts'

/** What a notary stands on. */
export interface NotaryPorts {
  readonly store: Store
  readonly tip: Tip
  readonly verify: BatchOptions['verifyAnswers']
  /** Told what became durable before the tip moves to it. */
  readonly appended: (from: number, to: number, dids: readonly string[]) => void
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
}

/** Lines that were shown together. */
export interface ShownBatch {
  readonly lines: readonly ShownLine[]
  /** All that the upstream shows up to here was read, as in `UpstreamPosition`; null where the lines say nothing of that. */
  readonly cursor: Pick<UpstreamPosition, 'numbered' | 'cursor'> | null
  /** Whether the cursor goes back there where it is beyond. Default: it stays. */
  readonly back?: boolean
}

/** What became of a batch. */
export interface TakenBatch {
  /** How many lines became entries. */
  readonly appended: number
  /** The largest number of those; 0 for none. */
  readonly largest: number
  /** What was set aside, or would have been where it is not yet. */
  readonly aside: readonly SetAside[]
  /** Identities in which something is not as the upstream says, which an audit log may explain. */
  readonly doubtful: readonly string[]
}

/** A notary's store, and where it stands. */
export class Notary {
  readonly #ports: NotaryPorts
  #position: UpstreamPosition
  #asideKept: number
  #turn: Promise<unknown> = Promise.resolve()

  /** `asideKept` is how much is set aside. */
  constructor(ports: NotaryPorts, position: UpstreamPosition, asideKept: number) {
    this.#ports = ports
    this.#position = position
    this.#asideKept = asideKept
  }

  /** How far the upstream was read, durably. */
  get position(): UpstreamPosition {
    return this.#position
  }

  /**
   * Takes batches in order, each in one transaction: while one is written the signatures of those after it are
   * checked. `taken` is told of each. Whoever calls meanwhile waits for the end of it. What `batches` throws is thrown,
   * after what came before it is written, and so are incidents of the store: then the same may be shown again.
   */
  take(batches: AsyncIterable<ShownBatch> | Iterable<ShownBatch>, taken: (done: TakenBatch, batch: ShownBatch) => void = () => undefined): Promise<void> {
    const turn = this.#turn.then(() => this.#takeAll(batches, taken))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #takeAll(batches: AsyncIterable<ShownBatch> | Iterable<ShownBatch>, taken: (done: TakenBatch, batch: ShownBatch) => void): Promise<void> {
    const { store, tip } = this.#ports
    const prepared: (() => Promise<void>)[] = []
    /** Records of batches that may not be written when the next one is prepared. */
    let ahead: (readonly LedgerRecord[])[] = []
    let written: WrittenBatch[] = []
    let writing: Promise<void> = Promise.resolve()
    const writeNext = async (): Promise<void> => {
      const write = prepared.shift()
      await writing
      writing = write?.() ?? writing
      writing.catch(() => undefined) // it is thrown where it is awaited
    }
    const ended: { failure: { readonly reason: unknown } | null } = { failure: null }
    try {
      for await (const batch of untilFailure(batches, (reason) => (ended.failure = { reason }))) {
        const records = batch.lines.flatMap(({ record }) => record ?? [])
        const noted: { value: Noted | null } = { value: null }
        const options = this.#optionsFor(batch, noted)
        const preparing = prepareBatch(store, records, options, ahead.flat())
        preparing.catch(() => undefined)
        ahead = [...ahead, records].slice(-MIRROR_LIMITS.batchesAhead - 1)
        prepared.push(async () => {
          const checked: PreparedBatch = await preparing
          const done = await writeBatch(store, checked, options, writtenSince(written, checked.seenSize))
          written = [...written, done.written].slice(-MIRROR_LIMITS.batchesAhead - 1)
          tip.advanceDurable(done.written.to)
          if (noted.value !== null) taken(await this.#settle(noted.value), batch)
        })
        if (prepared.length >= MIRROR_LIMITS.batchesAhead) await writeNext()
      }
      while (prepared.length > 0) await writeNext()
    } finally {
      await writing
    }
    if (ended.failure !== null) throw ended.failure.reason
  }

  #optionsFor(batch: ShownBatch, noted: { value: Noted | null }): BatchOptions {
    const { verify, appended } = this.#ports
    return {
      source: this.#position.source,
      verifyAnswers: verify,
      keepGoing: true,
      notes: (outcome) => {
        noted.value = this.#note(batch, outcome)
        return noted.value.notes
      },
      appended: ({ from, to, entries }) => appended(from.size, to.size, entries.map((row) => row.did)),
    }
  }

  async #settle({ notes, taken }: Noted): Promise<TakenBatch> {
    this.#position = notes.position
    if (notes.aside.length > 0 || notes.settled.length > 0) this.#asideKept = (await this.#ports.store.notary.setAsideCounts(0)).kept
    return taken
  }

  // Asked again where the outcome of a transaction is unknown: it changes nothing by itself.
  #note({ lines, cursor, back = false }: ShownBatch, outcome: BatchOutcome): Noted {
    const now = this.#ports.now()
    const numbers = new Numbers(this.#position.highest, outcome.from)
    const aside: SetAside[] = []
    const settled: string[] = []
    const doubtful = new Set<string>()
    const nullified = new Set(outcome.nullified)
    let largest = 0
    for (const { line, index, verdict } of judged(lines, outcome)) {
      if (verdict !== null) aside.push(asideOf(line, verdict, index, now))
      if (verdict !== null && index === null && line.did !== '') doubtful.add(line.did)
      if (line.record === null || index === null) continue
      const { did, nullified: claimed } = line.record
      if (claimed !== undefined && claimed !== nullified.has(index)) doubtful.add(did)
      if (line.number !== null) numbers.add(index, line.number)
      if (index < outcome.from) continue
      settled.push(keyOf(line.record))
      largest = Math.max(largest, line.number ?? 0)
    }
    return {
      notes: {
        position: { ...this.#position, ...(cursor !== null && (back || isBeyond(cursor, this.#position)) ? cursor : {}), highest: numbers.highest },
        runs: numbers.runs,
        aside,
        mostAside: MIRROR_LIMITS.asideLines,
        settled: this.#asideKept > 0 ? settled : [],
      },
      taken: { appended: outcome.appended, largest, aside, doubtful: [...doubtful] },
    }
  }
}

// What fails is told, and ends it like any other end: what came before is taken.
async function* untilFailure<T>(source: AsyncIterable<T> | Iterable<T>, failed: (reason: unknown) => void): AsyncGenerator<T> {
  try {
    yield* source
  } catch (reason) {
    failed(reason)
  }
}

// What was written since the log had a size, as one.
function writtenSince(written: readonly WrittenBatch[], size: number): WrittenBatch | null {
  const since = written.filter(({ from }) => from >= size)
  const [first, last] = [since[0], since.at(-1)]
  if (first === undefined || last === undefined) return null
  return { from: first.from, to: last.to, root: last.root, dids: new Set(since.flatMap(({ dids }) => [...dids])) }
}

function isBeyond(cursor: Pick<UpstreamPosition, 'numbered' | 'cursor'>, known: UpstreamPosition): boolean {
  return cursor.numbered === known.numbered && cursor.cursor > known.cursor
}

interface Noted {
  readonly notes: UpstreamNotes
  readonly taken: TakenBatch
}

/** A line, and what became of it. */
interface JudgedLine {
  readonly line: ShownLine
  /** Of the entry that holds its operation; null for none. */
  readonly index: number | null
  /** What is wrong with it; null for nothing. */
  readonly verdict: DirectoryError | null
}

function* judged(lines: readonly ShownLine[], { placed, invalid }: BatchOutcome): Generator<JudgedLine> {
  let position = 0
  for (const line of lines) {
    if (line.record === null) {
      yield { line, index: null, verdict: line.verdict }
      continue
    }
    yield { line, index: placed[position] ?? null, verdict: invalid.get(position) ?? line.verdict }
    position++
  }
}

/** The numbers that entries of one batch are given, as runs. */
class Numbers {
  readonly runs: NumberRun[] = []
  readonly #from: number
  readonly #numbered = new Set<number>()
  #highest: number

  /** `highest` is the largest that was given before; `from` is the index of the batch's first new entry. */
  constructor(highest: number, from: number) {
    this.#highest = highest
    this.#from = from
  }

  get highest(): number {
    return this.#highest
  }

  /** An entry is numbered when it is new, or its number is: what is shown again has its number. */
  add(index: number, number: number): void {
    const late = index < this.#from || number <= this.#highest
    if (this.#numbered.has(index) || (index < this.#from && number <= this.#highest)) return
    this.#numbered.add(index)
    this.#highest = Math.max(this.#highest, number)
    const last = this.runs.at(-1)
    if (last !== undefined && last.index + last.count === index && last.number + last.count === number && last.late === late) this.runs[this.runs.length - 1] = { ...last, count: last.count + 1 }
    else this.runs.push({ index, number, count: 1, late })
  }
}

function asideOf({ line, key, did, record, number }: ShownLine, { code, message }: DirectoryError, index: number | null, seenAt: number): SetAside {
  const bytes = typeof line === 'string' ? Buffer.from(line) : line
  return {
    key, did, cid: record?.cid ?? '', code, words: message.slice(0, MAX_WORDS).toWellFormed(), upstream: number, index, seenAt,
    length: bytes.length,
    line: Uint8Array.from(bytes.subarray(0, MIRROR_LIMITS.asideBytes)),
  }
}

/** A verdict may quote a whole operation, which stands in the line. */
const MAX_WORDS = 200
