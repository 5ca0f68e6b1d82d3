// Many rows for the price of their bytes: PostgreSQL's binary form, read as it comes in. spec/log.md#storage

import { Query, type Pool } from 'pg'
import { assert } from '../core/errors.ts'

/** One row, to be read field by field, in order, during the call that it is given to. No field may be null. */
export interface CopiedRow {
  /** A bigint. */
  integer(): number
  boolean(): boolean
  /** A bytea, as a view that lasts as long as the call. */
  bytes(): Uint8Array
}

/** Calls `use` with each row of `select`, whose text must hold nothing from outside, and gives their number. What `use` throws is thrown once all rows have come. */
export async function copyOut(pool: Pool, select: string, use: (row: CopiedRow) => void): Promise<number> {
  const client = await pool.connect()
  try {
    return await new Promise((resolve, reject) => {
      const copy = new Copy(`copy (${select}) to stdout (format binary)`, use)
      copy.on('error', reject)
      copy.on('end', () => {
        const { copied, failure } = copy.outcome
        if (failure === null) resolve(copied)
        else reject(failure.reason)
      })
      client.query(copy)
    })
  } finally {
    client.release()
  }
}

// `pg` turns every field of an ordinary answer into text; bytes of a copy it leaves alone. Its class has properties of its
// own, under names that one would like to have here.
class Copy extends Query {
  #copied = 0
  #failure: { readonly reason: unknown } | null = null
  readonly #row = new Row()
  readonly #use: (row: CopiedRow) => void

  constructor(text: string, use: (row: CopiedRow) => void) {
    super(text)
    this.#use = use
  }

  get outcome(): { readonly copied: number; readonly failure: { readonly reason: unknown } | null } {
    return { copied: this.#copied, failure: this.#failure }
  }

  // One message a row; the first begins with a header, the last is a trailer.
  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.#failure !== null) return
    try {
      if (!this.#row.begin(chunk)) return
      this.#copied++
      this.#use(this.#row)
    } catch (reason) {
      this.#failure = { reason }
    }
  }
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const NO_FIELDS = -1

class Row implements CopiedRow {
  #chunk: Buffer = Buffer.alloc(0)
  #at = 0

  /** Whether a row begins in this message. */
  begin(chunk: Buffer): boolean {
    this.#chunk = chunk
    this.#at = 0
    if (chunk[0] === SIGNATURE[0] && chunk.subarray(0, SIGNATURE.length).equals(SIGNATURE)) {
      // Flags, then an extension after its length.
      this.#at = SIGNATURE.length + 8 + chunk.readUInt32BE(SIGNATURE.length + 4)
    }
    if (this.#at === chunk.length) return false
    this.#at += 2
    return chunk.readInt16BE(this.#at - 2) !== NO_FIELDS
  }

  integer(): number {
    const at = this.#field(8)
    const value = this.#chunk.readInt32BE(at) * 2 ** 32 + this.#chunk.readUInt32BE(at + 4)
    assert(Number.isSafeInteger(value), `${value} in the database is beyond exact numbers`)
    return value
  }

  boolean(): boolean {
    return this.#chunk[this.#field(1)] === 1
  }

  bytes(): Uint8Array {
    const at = this.#field(null)
    return this.#chunk.subarray(at, this.#at)
  }

  // Passes over the next field, and gives where its bytes begin.
  #field(length: number | null): number {
    const found = this.#chunk.readInt32BE(this.#at)
    const begin = this.#at + 4
    this.#at = begin + found
    assert(found >= 0 && this.#at <= this.#chunk.length && found === (length ?? found), 'a row has the fields that were asked for')
    return begin
  }
}
