import { createHash, createPublicKey, verify } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as referenceCbor from '@ipld/dag-cbor'
import * as plc from '@did-plc/lib'
import { CID } from 'multiformats/cid'
import { describe, expect, it } from 'vitest'
import { makeVectors } from './support/make-vectors.ts'
import { naiveConsistency, naivePath, naiveRoot } from './support/naive-tree.ts'

const FOLDER = join(import.meta.dirname, '..', 'spec', 'vectors')

interface AuditRecord {
  readonly did: string
  readonly operation: Record<string, unknown>
  readonly cid: string
  readonly nullified: boolean
  readonly createdAt: string
}

interface History {
  readonly log: readonly AuditRecord[]
  readonly document?: unknown
  readonly refused?: string
}

const vectors = makeVectors()

describe('spec/vectors', () => {
  it('are what the code makes', () => {
    const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => /\.[a-z-]+$|checkpoint$|policy$/.test(name))
    expect(files.sort()).toEqual([...vectors.keys()].sort())
    for (const [name, text] of vectors) expect(readFileSync(join(FOLDER, name), 'utf8'), name).toBe(text)
  })

  describe.each(names('plc'))('%s', (name) => {
    const history = read<History>(name)

    it('has the CIDs and the DID that an independent encoder gives', () => {
      for (const { operation, cid } of history.log) expect(cidOf(operation)).toBe(cid)
      const [genesis] = history.log
      const digest = createHash('sha256').update(referenceCbor.encode(genesis?.operation)).digest()
      expect(genesis?.did).toBe(`did:plc:${base32(digest).slice(0, 24)}`)
    })

    it('has the document that @did-plc/lib renders', async () => {
      if (history.document === undefined || history.document === null) return
      const last = history.log.findLast((record) => !record.nullified)
      const data = plc.opToData(last?.did ?? '', last?.operation as unknown as plc.CompatibleOp)
      if (data === null) throw new Error('a document belongs to an identity')
      expect(history.document).toMatchObject({ id: data.did, alsoKnownAs: data.alsoKnownAs })
      const service = Object.entries(data.services).map(([id, { type, endpoint }]) => ({ id: `#${id}`, type, serviceEndpoint: endpoint }))
      expect((history.document as { service: unknown }).service).toEqual(service)
    })
  })

  it.each(names('plc/valid').filter((name) => !name.includes('odd')))('%s is accepted by @did-plc/lib with the same nullifications', async (name) => {
    const { log } = read<History>(name)
    const accepted: (AuditRecord & { cidObject: CID })[] = []
    const nullified = new Set<string>()
    for (const record of log) {
      const before = accepted
        .filter(({ cid }) => !nullified.has(cid))
        .map((r): plc.IndexedOperation => ({ did: r.did, operation: r.operation as plc.IndexedOperation['operation'], cid: r.cidObject, nullified: false, createdAt: new Date(r.createdAt) }))
      const result = await plc.assureValidNextOp(record.did, before, record.operation as plc.IndexedOperation['operation'])
      for (const cid of result.nullified) nullified.add(cid.toString())
      accepted.push({ ...record, cidObject: CID.parse(record.cid) })
    }
    expect(log.filter(({ cid }) => nullified.has(cid)).map(({ cid }) => cid)).toEqual(log.filter((record) => record.nullified).map(({ cid }) => cid))
  })

  it('hold a log that an independent encoder, a naive tree and another Ed25519 agree with', () => {
    interface Described { readonly operation: unknown; readonly did: string; readonly source: string | null; readonly bytes: string; readonly leafHash: string; readonly inclusion: string[]; readonly receipt: string }
    const entries = read<Described[]>('log/entries.json')
    const leaves = entries.map(({ operation, did, source, bytes, leafHash }, i) => {
      const createdAt = new Date(1_800_000_000_000 + 1000 * i).toISOString()
      expect(Buffer.from(referenceCbor.encode({ did, createdAt, operation, ...(source === null ? {} : { source }) })).toString('hex')).toBe(bytes)
      const hash = createHash('sha256').update(Buffer.concat([Buffer.of(0), Buffer.from(bytes, 'hex')])).digest()
      expect(hash.toString('hex')).toBe(leafHash)
      return new Uint8Array(hash)
    })
    for (const [i, { inclusion, receipt }] of entries.entries()) {
      expect(inclusion).toEqual(naivePath(i, leaves).map((hash) => Buffer.from(hash).toString('base64')))
      expect(receipt).toContain(`index ${i}\n${inclusion.map((hash) => `${hash}\n`).join('')}`)
    }
    const consistency = read<{ size: number; root: string; proof: string[] }[]>('log/consistency.json')
    for (const { size, root, proof } of consistency) {
      expect(root).toBe(Buffer.from(naiveRoot(leaves.slice(0, size))).toString('base64'))
      expect(proof).toEqual(size === 0 ? [] : naiveConsistency(size, leaves).map((hash) => Buffer.from(hash).toString('base64')))
    }
    const [text = '', line = ''] = readFileSync(join(FOLDER, 'log/checkpoint'), 'utf8').split('\n\n')
    const signature = Buffer.from(line.trim().split(' ')[2] ?? '', 'base64').subarray(4)
    const publicKey = Buffer.from(readFileSync(join(FOLDER, 'log/log.vkey'), 'utf8').trim().split('+').slice(2).join('+'), 'base64').subarray(1)
    const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]), format: 'der', type: 'spki' })
    expect(verify(null, Buffer.from(`${text}\n`), key, signature)).toBe(true)
  })
})

function names(folder: string): string[] {
  return existsSync(join(FOLDER, folder)) ? readdirSync(join(FOLDER, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json')).map((name) => `${folder}/${name}`) : []
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as T
}

function cidOf(operation: unknown): string {
  const digest = createHash('sha256').update(referenceCbor.encode(operation)).digest()
  return `b${base32(Buffer.concat([Buffer.from([1, 0x71, 0x12, 0x20]), digest]))}`
}

function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{1,5}/g) ?? []).map((group) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(group.padEnd(5, '0'), 2)]).join('')
}
