import { afterEach, describe, expect, it } from 'vitest'
import { answerAll, type VerifyAnswers } from '../../src/client/check-tree.ts'
import { storedPages } from '../../src/cli/export.ts'
import { checkDatabase } from '../../src/cli/check-database.ts'
import { importRecords, type ImportOptions, type ImportReport } from '../../src/cli/import-records.ts'
import type { FoundRecord } from '../../src/cli/import-sources.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { DirectoryError, verdictOf } from '../../src/core/errors.ts'
import { formatTimestamp } from '../../src/core/encoding/timestamp.ts'
import { parseRecord, renderAuditLog, type LedgerRecord } from '../../src/core/plc/records.ts'
import { memoryStore, type FaultPoint } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { person } from '../support/people.ts'
import { appendLeaves, emptyLog, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'
import { describeVectors, readVectors } from '../support/vectors.ts'

const faults: FaultPoint[] = []

afterEach(() => {
  faults.length = 0
})

function newLog(): Promise<Store> {
  return emptyLog({
    fault(point) {
      if (faults[0] !== point) return
      faults.shift()
      throw new Error(`fault: ${point}`)
    },
  })
}

async function* found(records: readonly (LedgerRecord | DirectoryError)[]): AsyncGenerator<FoundRecord> {
  for (const [i, record] of records.entries()) yield await Promise.resolve({ where: `record ${i}`, record })
}

function importAll(store: Store, records: readonly (LedgerRecord | DirectoryError)[], options: Partial<ImportOptions> = {}): Promise<ImportReport> {
  return importRecords(store, found(records), { source: 'old.example', verifyAnswers: answerAll, keepGoing: false, ...options })
}

function readRecords(json: unknown): (LedgerRecord | DirectoryError)[] {
  return (json as unknown[]).map((element) => {
    const { value, verdict } = verdictOf(() => parseRecord(element))
    return verdict ?? value
  })
}

/** The store's history as an audit log of all its identities. */
async function storedRecords(store: Store): Promise<LedgerRecord[]> {
  return (await store.entries(0, 10_000)).map(({ did, cid, createdAt, nullified, entry }) => ({ did, cid, createdAt, nullified, operation: decodeEntry(entry).operation }))
}

/** Everything that was stored is what its entries lead to. */
async function expectWhole(store: Store): Promise<void> {
  await publishAll(store)
  expect((await checkDatabase(store, [LOG_KEY])).problems).toEqual([])
}

function at(createdAt: number, did: string, operation: LedgerRecord['operation'], nullified?: boolean): LedgerRecord {
  return { did, operation, cid: operation.cid, createdAt, ...(nullified === undefined ? {} : { nullified }) }
}

describeVectors('importing the logs of directories', () => {
  const valid = readVectors('plc/valid').map(({ name, json }) => ({ name, json, records: readRecords(json) }))

  for (const { name, json, records } of valid) {
    it(`imports ${name} and exports it as it was, however often it is imported`, async () => {
      const store = await newLog()
      expect(await importAll(store, records)).toEqual({ appended: records.length, known: 0, invalid: [], differing: [], interrupted: false })
      expect(JSON.parse(renderAuditLog(await storedRecords(store)))).toEqual(json)
      const head = await store.head()
      expect(await importAll(store, records)).toEqual({ appended: 0, known: records.length, invalid: [], differing: [], interrupted: false })
      expect(await store.head()).toEqual(head)
      await expectWhole(store)
    })

    it(`goes on with ${name} after an interruption anywhere, to the same log`, async () => {
      const whole = await newLog()
      await importAll(whole, records)
      for (let done = 0; done <= records.length; done++) {
        const store = await newLog()
        await importAll(store, records.slice(0, done))
        expect(await importAll(store, records, { batchSize: 1 })).toMatchObject({ appended: records.length - done, known: done, differing: [] })
        expect((await store.head())?.root).toEqual((await whole.head())?.root)
      }
    })
  }

  it('imports many identities, interleaved by time, in batches of any size, to the same log', async () => {
    const records = valid.flatMap(({ records }) => records as LedgerRecord[]).sort((a, b) => a.createdAt - b.createdAt)
    const roots = new Set<string>()
    for (const batchSize of [1, 2, 3, 7, 500]) {
      const store = await newLog()
      expect(await importAll(store, records, { batchSize })).toMatchObject({ appended: records.length, invalid: [], differing: [] })
      roots.add(Buffer.from((await store.head())?.root ?? []).toString('hex'))
      await expectWhole(store)
    }
    expect(roots.size).toBe(1)
  })

  it('names the source in every entry, and keeps the times', async () => {
    const store = await newLog()
    const records = valid.flatMap(({ records }) => records as LedgerRecord[])
    await importAll(store, records)
    const entries = (await store.entries(0, 1_000)).map((row) => decodeEntry(row.entry))
    expect(new Set(entries.map((entry) => entry.source))).toEqual(new Set(['old.example']))
    expect(entries.map((entry) => entry.createdAt)).toEqual(records.map((record) => record.createdAt))
    expect((await store.head())?.clock).toEqual({ lastNative: null })
  })

  const REASONS: Record<string, string> = {
    log_invalid_nullification_too_slow: 'LATE_RECOVERY',
    log_invalid_sig_b64_padding_bits: 'INVALID_SIGNATURE',
    log_invalid_sig_b64_padding_chars: 'INVALID_SIGNATURE',
    log_invalid_sig_der: 'INVALID_SIGNATURE',
    log_invalid_sig_k256_high_s: 'INVALID_SIGNATURE',
    log_invalid_update_nullified: 'MISORDERED',
    log_invalid_update_tombstoned: 'MISORDERED',
  }

  it('has a reason for every invalid log', () => {
    expect(readVectors('plc/invalid').map(({ name }) => name)).toEqual(Object.keys(REASONS))
  })

  for (const { name, json } of readVectors('plc/invalid')) {
    const records = readRecords(json)

    it(`ends before the invalid operation of ${name}, says why, and keeps what came before`, async () => {
      const store = await newLog()
      const others = valid[0]?.records ?? []
      await importAll(store, others)
      const report = await importAll(store, [...records, ...(valid[1]?.records ?? [])])
      const [invalid] = report.invalid
      expect(invalid?.verdict.code).toBe(REASONS[name])
      const position = Number(invalid?.where.slice('record '.length))
      expect(report.appended).toBe(position)
      expect((await store.head())?.size).toBe(others.length + position)
      await expectWhole(store)
    })

    it(`leaves only the invalid operations of ${name} out where it is told to go on`, async () => {
      const store = await newLog()
      const after = valid[1]?.records ?? []
      const report = await importAll(store, [...records, ...after], { keepGoing: true })
      expect(report.invalid.map(({ verdict }) => verdict.code)).toContain(REASONS[name])
      expect(report.appended).toBe(records.length + after.length - report.invalid.length)
      await expectWhole(store)
    })
  }
})

describe('an import', () => {
  const alice = person('alice')
  const bob = person('bob')
  const theft = alice.update(alice.genesis, { key: 2 })
  const recovery = alice.update(alice.genesis, { key: 0, handle: 'mine' })

  it('refuses, with words, a log that has accepted operations itself', async () => {
    const store = await newLog()
    await importAll(store, [at(1, alice.did, alice.genesis)])
    await appendLeaves(store, identityLeaves(1))
    await expect(importAll(store, [at(2, bob.did, bob.genesis)])).rejects.toThrow('has accepted operations of its own')
    expect((await store.head())?.size).toBe(2)
  })

  it('needs a log', async () => {
    await expect(importAll(memoryStore(), [at(1, alice.did, alice.genesis)])).rejects.toThrow('holds no log')
  })

  it('reports nullified flags that are not what the rules give, whenever they become it', async () => {
    const records = (flags: readonly [boolean, boolean, boolean]): LedgerRecord[] => [
      at(1, alice.did, alice.genesis, flags[0]),
      at(2, alice.did, theft, flags[1]),
      at(3, alice.did, recovery, flags[2]),
    ]
    for (const batchSize of [1, 2, 500]) {
      expect((await importAll(await newLog(), records([false, true, false]), { batchSize })).differing).toEqual([])
      expect((await importAll(await newLog(), records([false, false, false]), { batchSize })).differing).toEqual([1])
      expect((await importAll(await newLog(), records([true, true, true]), { batchSize })).differing).toEqual([0, 2])
      const store = await newLog()
      await importAll(store, records([false, true, false]).slice(0, 2), { batchSize })
      expect((await importAll(store, records([false, true, true]), { batchSize })).differing).toEqual([2])
    }
    expect((await importAll(await newLog(), records([false, true, false]).slice(0, 2))).differing).toEqual([1])
    const silent = records([false, false, false]).map(({ did, operation, createdAt }) => at(createdAt, did, operation))
    expect((await importAll(await newLog(), silent)).differing).toEqual([])
  })

  it('skips a record that comes twice in one batch', async () => {
    const store = await newLog()
    const records = [at(1, alice.did, alice.genesis), at(1, alice.did, alice.genesis), at(2, alice.did, theft), at(1, alice.did, alice.genesis)]
    expect(await importAll(store, records)).toMatchObject({ appended: 2, known: 2, invalid: [] })
  })

  it('appends a batch once where the reply to its commit was lost', async () => {
    const store = await newLog()
    faults.push('after commit')
    expect(await importAll(store, [at(1, alice.did, alice.genesis), at(2, alice.did, theft)])).toMatchObject({ appended: 0, known: 2 })
    expect(faults).toEqual([])
    await expectWhole(store)
  })

  it('loses nothing and goes on where a batch could not be written', async () => {
    const store = await newLog()
    const records = [at(1, alice.did, alice.genesis), at(2, alice.did, theft), at(3, bob.did, bob.genesis)]
    await importAll(store, records.slice(0, 1))
    faults.push('before commit')
    await expect(importAll(store, records)).rejects.toThrow('fault')
    expect((await store.head())?.size).toBe(1)
    expect(await importAll(store, records)).toMatchObject({ appended: 2, known: 1 })
    await expectWhole(store)
  })

  it('notices what another import appended while its signatures were checked', async () => {
    const store = await newLog()
    const records = [at(1, alice.did, alice.genesis), at(2, alice.did, theft), at(3, alice.did, recovery)]
    let disturbed = false
    const verifyAnswers: VerifyAnswers = async (questions) => {
      if (!disturbed) {
        disturbed = true
        await importAll(store, [...records.slice(0, 2), at(2, bob.did, bob.genesis)])
      }
      return answerAll(questions)
    }
    expect(await importAll(store, records, { verifyAnswers })).toMatchObject({ appended: 1, known: 2, invalid: [] })
    expect((await store.entries(0, 9)).map((row) => row.cid)).toEqual([alice.genesis.cid, theft.cid, bob.genesis.cid, recovery.cid])
    await expectWhole(store)
  })

  it('ends after the batch under way when it is interrupted', async () => {
    const store = await newLog()
    const controller = new AbortController()
    const records = [at(1, alice.did, alice.genesis), at(2, alice.did, theft), at(3, bob.did, bob.genesis)]
    const report = await importAll(store, records, { batchSize: 2, signal: controller.signal, onProgress: () => controller.abort() })
    expect(report).toMatchObject({ appended: 2, interrupted: true })
    expect(await importAll(store, records)).toMatchObject({ appended: 1, known: 2, interrupted: false })
  })

  it('has the signatures of a batch checked while the one before it is written', async () => {
    const written = Promise.withResolvers<void>()
    const store = await newLog()
    const slow: Store = {
      ...store,
      underHead: (work) =>
        store.underHead(async (locked) => {
          const result = await work(locked)
          await written.promise
          return result
        }),
    }
    // The second batch follows what the first one has not written yet, and ends the writing of the first.
    const asked: number[] = []
    const verifyAnswers: VerifyAnswers = (questions) => {
      asked.push(questions.filter((question) => question !== null).length)
      if (asked.length === 2) written.resolve()
      return answerAll(questions)
    }
    const records = [at(1, alice.did, alice.genesis), at(2, bob.did, bob.genesis), at(3, alice.did, theft), at(4, alice.did, recovery)]
    expect(await importAll(slow, records, { batchSize: 2, verifyAnswers })).toMatchObject({ appended: 4, invalid: [] })
    expect(asked).toEqual([2, 2])
    await expectWhole(store)
  })

  it('writes nothing of a batch after one that could not be written', async () => {
    const store = await newLog()
    faults.push('begin')
    const records = [at(1, alice.did, alice.genesis), at(2, bob.did, bob.genesis)]
    await expect(importAll(store, records, { batchSize: 1 })).rejects.toThrow('fault: begin')
    expect((await store.head())?.size).toBe(0)
    expect(await importAll(store, records, { batchSize: 1 })).toMatchObject({ appended: 2, known: 0 })
    await expectWhole(store)
  })

  it('writes nothing of a batch after one with an invalid record', async () => {
    const store = await newLog()
    const records = [at(1, alice.did, alice.genesis), at(2, alice.did, bob.genesis), at(3, bob.did, bob.genesis)]
    for (const batchSize of [1, 2, 3]) {
      const report = await importAll(store, records, { batchSize })
      expect(report.invalid.map(({ where }) => where)).toEqual(['record 1'])
      expect((await store.head())?.size).toBe(1)
    }
    expect(await importAll(store, records, { batchSize: 1, keepGoing: true })).toMatchObject({ appended: 1, known: 1 })
    await expectWhole(store)
  })

  it('imports what stood before something that is no record, and no more unless told to', async () => {
    const broken = new DirectoryError('MALFORMED_RECORD', 'cid')
    const records = [at(1, alice.did, alice.genesis), broken, at(2, alice.did, theft)]
    expect(await importAll(await newLog(), records)).toMatchObject({ appended: 1, invalid: [{ where: 'record 1', did: '', verdict: broken }] })
    expect(await importAll(await newLog(), records, { keepGoing: true })).toMatchObject({ appended: 2, invalid: [{ where: 'record 1' }] })
  })

  it('is what an export of its log imports again', async () => {
    const store = await newLog()
    await importAll(store, [at(1, alice.did, alice.genesis), at(2, alice.did, theft), at(2, bob.did, bob.genesis), at(3, alice.did, recovery)])
    const lines: string[] = []
    for await (const page of storedPages(store, 0)) lines.push(...page)
    const copy = await newLog()
    await importAll(copy, lines.map((line) => parseRecord(JSON.parse(line))))
    expect((await copy.head())?.root).toEqual((await store.head())?.root)
    expect(formatTimestamp((await copy.entries(3, 4))[0]?.createdAt ?? 0)).toBe('1970-01-01T00:00:00.003Z')
  })
})
