// Runs of entries as the messages of the streams: read once, encoded once, sent to all. spec/stream.md#cost

import { ByteWriter } from '../core/encoding/transcode.ts'
import { WriterPool } from '../core/encoding/writer-pool.ts'
import { writeStreamed } from '../core/entry-json.ts'
import { assert } from '../core/errors.ts'
import { writeFrame, type Frame } from '../core/frame.ts'
import type { EntryRow, Store } from '../storage/store.ts'
import { firstWithheld, NOTHING_WITHHELD, type Withheld } from '../storage/withheld.ts'
import { SharedCache } from './cache.ts'
import type { StreamLimits } from './limits.ts'
import { writeMessage } from './messages.ts'

/** Messages that are sent together. Never changed once made. */
export interface Block {
  /** The messages, ready for the socket; none where `messages` is 0. */
  readonly bytes: Uint8Array
  readonly messages: number
  /** Bytes of the messages without the WebSocket's own: what they take of a reader's credit. */
  readonly payload: number
}

/** The messages of a run of entries. */
export interface EntryBlock extends Block {
  /** Index behind the run's last entry. */
  readonly end: number
  readonly weight: number
}

/** A run of entries as they are stored. */
export interface Rows {
  readonly rows: readonly EntryRow[]
  readonly weight: number
}

/**
 * Runs of entries in the forms in which they are sent. A run ends where its caller says, at a multiple of
 * `blockEntries`, or after `blockBytes`, whichever is first; what is far from the end of the log is read in larger
 * pieces, up to a multiple of `readEntries`.
 */
export class Blocks {
  readonly #store: BlockStore
  readonly #limits: StreamLimits
  readonly #withheld: Withheld
  readonly #cache: SharedCache
  /** Blocks are written with these, then copied: most are shorter than they may be. */
  readonly #writers: WriterPool
  readonly #shared: () => boolean

  /** `store` does not give the bytes of what is withheld. `shared` tells whether more than one subscriber is there: for one alone nothing is kept that he has had. */
  constructor(store: BlockStore, limits: StreamLimits, withheld: Withheld = NOTHING_WITHHELD, shared = (): boolean => true) {
    this.#shared = shared
    this.#store = store
    this.#withheld = withheld
    this.#limits = limits
    this.#cache = new SharedCache(limits.cacheBytes)
    this.#writers = new WriterPool({ capacity: 2 * limits.blockBytes, most: 4 })
  }

  /** Messages of `/export/stream` for the accepted entries from `start` on, below `size`: durable ones. `ahead`: they will be asked for again. */
  exported(start: number, size: number, ahead = false): Promise<EntryBlock> {
    return this.#block('export', start, size, ahead, (from, to) => this.#export(from, to))
  }

  /** One message of `/log/stream` with the entries from `start` on, below `size`: durable ones. `ahead`: it will be asked for again. */
  logged(start: number, size: number, provisional: boolean, ahead = false): Promise<EntryBlock> {
    return this.#block(`log ${provisional}`, start, size, ahead, (from, to) => this.#log(from, to, provisional))
  }

  /** The entries from `start` to the end of its block, or to `size`. */
  rows(start: number, size: number): Promise<Rows> {
    const end = Math.min(size, nextMultiple(start, this.#limits.blockEntries))
    return this.#cache.get(`rows ${start} ${end}`, async () => {
      const rows = await this.#store.entries(start, end)
      assert(rows.length === end - start, `durable entries are missing: ${start} to ${end}`)
      return { rows, weight: rows.reduce((sum, row) => sum + (this.#withheld.has(row.index) ? 0 : row.entry.length) + ROW_BYTES, 0) }
    })
  }

  /** Where the piece ends in which the entry at `start` is read. */
  endOfRead(start: number): number {
    return nextMultiple(start, this.#limits.readEntries)
  }

  // Subscribers that stand at the same entry share one block, though one of them may have been told of more entries
  // than the others. The blocks behind it that came with the same read are kept for whoever goes on.
  async #block(form: string, start: number, size: number, ahead: boolean, make: (from: number, to: number) => Promise<readonly EntryBlock[]>): Promise<EntryBlock> {
    const read = async (): Promise<EntryBlock> => {
      const [first, ...others] = await make(start, Math.min(size, this.endOfRead(start)))
      assert(first !== undefined, 'a run of entries has a block')
      let at = first.end
      for (const block of others) {
        void this.#cache.get(`${form} ${at}`, () => Promise.resolve(block))
        at = block.end
      }
      return first
    }
    const block = await this.#cache.get(`${form} ${start}`, read)
    if (!ahead && !this.#shared()) this.#cache.forget(`${form} ${start}`)
    return block.end <= size ? block : read()
  }

  async #export(start: number, to: number): Promise<readonly EntryBlock[]> {
    const { blockEntries, blockBytes } = this.#limits
    const blocks: EntryBlock[] = []
    const out = this.#writers.take()
    let [entries, messages, payload, first] = [0, 0, 0, start]
    // What was written beyond `length` begins the next one.
    const endBlock = (end: number, length: number): void => {
      blocks.push({ bytes: out.bytes.slice(0, length), messages, payload, end, weight: length })
      out.bytes.copyWithin(0, length, out.length)
      out.length -= length
      messages = payload = 0
      first = end
    }
    await this.#store.exportFrom(start, to, to - start, (entry) => {
      if (entry.index >= nextMultiple(first, blockEntries)) endBlock(entry.index, out.length)
      const begun = out.length
      const length = writeMessage(out, 'text', () => writeStreamed(out, entry))
      if (messages > 0 && out.length > blockBytes) endBlock(entry.index, begun)
      entries++
      messages++
      payload += length
    })
    // Fewer where some are rejected or withheld; never where the database has lost them.
    if (entries < to - start) assert((await this.#store.entries(start, to)).length === to - start, `durable entries are missing: ${start} to ${to}`)
    endBlock(to, out.length)
    this.#writers.give(out)
    return blocks
  }

  // Up to the first that is withheld; `leaves` throws where that is where it begins.
  async #log(start: number, limit: number, provisional: boolean): Promise<readonly EntryBlock[]> {
    const to = firstWithheld(this.#withheld, start + 1, limit) ?? limit
    const { blockEntries, blockBytes } = this.#limits
    const leaves = await this.#store.leaves(start, to)
    assert(leaves.length === to - start, `durable entries are missing: ${start} to ${to}`)
    const out = this.#writers.take()
    const blocks: EntryBlock[] = []
    for (let first = start; first < to; ) {
      const most = Math.min(to, nextMultiple(first, blockEntries))
      let [end, length] = [first, 0]
      while (end < most && (length === 0 || length + (leaves[end - start]?.length ?? 0) <= blockBytes)) length += leaves[end++ - start]?.length ?? 0
      const block = frameBlock({ type: 'entries', start: first, entries: leaves.slice(first - start, end - start), provisional }, out)
      blocks.push({ ...block, end, weight: block.bytes.length })
      first = end
    }
    this.#writers.give(out)
    return blocks
  }
}

type BlockStore = Pick<Store, 'entries' | 'exportFrom' | 'leaves'>

function nextMultiple(n: number, step: number): number {
  return (Math.floor(n / step) + 1) * step
}

/** A frame of `/log/stream` as a block of one message. `out` is what it is written with. */
export function frameBlock(frame: Frame, out = new ByteWriter(4_096)): Block {
  out.length = 0
  const payload = writeMessage(out, 'binary', () => writeFrame(out, frame))
  return { bytes: out.written().slice(), messages: 1, payload }
}

/** What a row takes beside its entry, about. */
const ROW_BYTES = 256
