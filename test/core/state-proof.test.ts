import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dataValue } from '../../src/core/did-state.ts'
import type { Entry } from '../../src/core/entry.ts'
import { encodeCbor } from '../../src/core/encoding/dag-cbor.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { didKey } from '../../src/core/map/did-state.ts'
import { packEntries, triePath } from '../../src/core/map/trie.ts'
import { headOf } from '../../src/core/plc/chain.ts'
import { dataOf, type Operation } from '../../src/core/plc/operation.ts'
import { formatStateProof, parseStateProof, verifyStateProof, type StateProof, type StateProofTrust } from '../../src/core/state-proof.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import { COSIGNED_AT, mapScene } from '../support/map-scene.ts'
import { person, type Person } from '../support/people.ts'

const HOUR_MS = 3_600_000
const START_MS = 1_700_000_000_000
const people = Array.from({ length: 9 }, (_, i) => person(`s${i}`))
const [alice, bob, carol, dave] = people as [Person, Person, Person, Person]
const stranger = person('nobody')
const theft = bob.update(bob.genesis, { key: 2, handle: 'thief' })
const recovery = bob.update(bob.genesis, { key: 0, handle: 'back' })

const entries: readonly Entry[] = [
  ...people.map(({ did, genesis }, i) => entry(did, i, genesis)),
  entry(alice.did, HOUR_MS, alice.update(alice.genesis)),
  entry(bob.did, 2 * HOUR_MS, theft),
  entry(bob.did, 3 * HOUR_MS, recovery),
  entry(carol.did, 4 * HOUR_MS, carol.tombstone(carol.genesis)),
  // Refused by every replay: it stays in the tree, and is nothing to the map.
  entry(dave.did, 5 * HOUR_MS, dave.update(alice.genesis)),
  // After the newest version of the map.
  entry(dave.did, 6 * HOUR_MS, dave.update(dave.genesis)),
]
const scene = mapScene('proofs.test/log', entries, [0, 4, 14])
const keys: StateProofTrust = { logKeys: [scene.logKey], mapKeys: [scene.mapKey], policy: null }

describe('a state proof', () => {
  it('shows everything that the log holds of each identity, and where that was', () => {
    for (const { did } of people) {
      const proved = verifyStateProof(scene.textOf(did), did, keys)
      expect(proved.did).toBe(did)
      expect(proved.leaf).toEqual(scene.versions[2])
      expect(proved.state).toEqual(scene.states.get(did))
      expect(proved.identity?.indices).toEqual(scene.rows.filter((row) => row.did === did && row.index < 14 && row.rejected === null).map((row) => row.index))
      expect(proved.map.checkpoint).toMatchObject({ origin: 'proofs.test/log/map', size: 3 })
      expect(proved.log.checkpoint).toMatchObject({ origin: 'proofs.test/log', size: 15 })
    }
  })

  it('shows what is in effect: an update, a recovery, an end', () => {
    const headOfDid = (did: string) => headOf(verifyStateProof(scene.textOf(did), did, keys).identity?.chain ?? { did, links: [] })
    expect(dataOf(headOfDid(alice.did)?.operation ?? alice.genesis)?.alsoKnownAs).toEqual(['at://new.s0.test'])
    expect(headOfDid(bob.did)?.operation.cid).toBe(recovery.cid)
    expect(scene.states.get(bob.did)).toMatchObject({ entries: 3, head: 11, deactivated: false })
    expect(headOfDid(carol.did)?.operation.type).toBe('plc_tombstone')
    expect(scene.states.get(carol.did)).toMatchObject({ entries: 2, head: 12, deactivated: true })
    expect(scene.states.get(dave.did)).toMatchObject({ entries: 1, head: 3 })
  })

  it('shows that the log holds nothing of a DID', () => {
    expect(verifyStateProof(scene.textOf(stranger.did), stranger.did, keys)).toMatchObject({ identity: null, state: null, leaf: scene.versions[2] })
    const empty = mapScene('empty.test', [], [0])
    expect(verifyStateProof(empty.textOf(stranger.did), stranger.did, { logKeys: [empty.logKey], mapKeys: [empty.mapKey], policy: null }).state).toBeNull()
  })

  it('cannot show that the log holds nothing of a DID of which it holds something', () => {
    const map = [...scene.states.keys()]
    for (const { did } of people) {
      for (const other of map.filter((other) => other !== did)) {
        const { path, state } = { path: scene.proofOf(other).path, state: scene.states.get(other) }
        if (state === undefined) throw new Error('it is in the map')
        const lie: StateProof = { ...scene.proofOf(stranger.did), did, path: { steps: path.steps, leaf: scene.proofOf(stranger.did).path.leaf } }
        refuses(lie, did)
        refuses({ ...scene.proofOf(stranger.did), did }, did)
      }
    }
  })

  it('is about one DID', () => {
    expect(() => verifyStateProof(scene.textOf(alice.did), bob.did, keys)).toThrow(expect.objectContaining({ code: 'MALFORMED_PROOF' }))
  })

  it('without its newest entry, or any other, shows nothing', () => {
    for (const did of [alice.did, bob.did, carol.did]) {
      const proof = scene.proofOf(did)
      for (const [i] of proof.entries.entries()) {
        const rest = proof.entries.filter((_, at) => at !== i)
        refuses({ ...proof, entries: rest, state: proof.state === null ? null : { ...proof.state, entries: rest.length } }, did)
      }
    }
  })

  it('whose entries come to another state than the one that the map holds shows nothing', () => {
    const [first, second] = [scene.proofOf(alice.did), scene.proofOf(people[4]?.did ?? '')]
    const proof = { ...second, entries: second.entries.map((entry) => ({ ...entry, index: entry.index + 1 })) }
    expect(() => verifyStateProof(formatStateProof(proof), second.did, keys)).toThrow(expect.objectContaining({ code: 'INVALID_PROOF' }))
    const swapped = { ...first, entries: [...scene.proofOf(bob.did).entries].slice(0, 2) }
    expect(() => verifyStateProof(formatStateProof(swapped), first.did, keys)).toThrow(expect.objectContaining({ code: 'INVALID_PROOF' }))
  })

  it('of an earlier version of the map shows nothing under a newer checkpoint', () => {
    const earlier = mapScene('proofs.test/log', entries, [0, 4])
    const { inclusion, mapCheckpoint } = scene.proofOf(alice.did)
    refuses({ ...earlier.proofOf(alice.did), inclusion, mapCheckpoint }, alice.did)
  })

  it('with any character changed shows nothing', () => {
    for (const did of [alice.did, stranger.did]) {
      const text = scene.textOf(did)
      // Nobody's key is asked about who is not known: every signature here is by one that is.
      const trust = { ...keys, policy: policyOf('quorum alice') }
      expect(verifyStateProof(text, did, trust).did).toBe(did)
      for (let at = 0; at < text.length; at += 7) {
        const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
        expect(() => verifyStateProof(changed, did, trust), `at ${at}: ${changed}`).toThrow(DirectoryError)
      }
    }
  }, 120_000)

  it('counts only with the quorum of its policy, on both checkpoints, and with cosignatures of the map that are young enough', () => {
    const text = scene.textOf(alice.did)
    const policy = policyOf('quorum alice')
    expect(verifyStateProof(text, alice.did, { ...keys, policy, notBefore: COSIGNED_AT }).map.verified.map(({ timestamp }) => timestamp)).toEqual([null, COSIGNED_AT])
    expect(() => verifyStateProof(text, alice.did, { ...keys, policy, notBefore: COSIGNED_AT + 1 })).toThrow(expect.objectContaining({ code: 'QUORUM_NOT_MET' }))
    for (const which of ['mapCheckpoint', 'logCheckpoint'] as const) {
      const proof = scene.proofOf(alice.did)
      const bare = formatStateProof({ ...proof, [which]: proof[which].replace(/^\u2014 witness.*\n/m, '') })
      expect(verifyStateProof(bare, alice.did, keys).did).toBe(alice.did)
      expect(() => verifyStateProof(bare, alice.did, { ...keys, policy })).toThrow(expect.objectContaining({ code: 'QUORUM_NOT_MET' }))
    }
  })

  it('needs the key of the log and that of its map, and takes neither for the other', () => {
    const text = scene.textOf(alice.did)
    const other = mapScene('other.test', entries, [14])
    for (const trust of [{ ...keys, mapKeys: [scene.logKey] }, { ...keys, logKeys: [scene.mapKey] }, { ...keys, logKeys: [] }, { ...keys, mapKeys: [other.mapKey] }]) {
      expect(() => verifyStateProof(text, alice.did, trust)).toThrow(expect.objectContaining({ code: 'WRONG_ORIGIN' }))
    }
    const mixed = formatStateProof({ ...scene.proofOf(alice.did), logCheckpoint: other.proofOf(alice.did).logCheckpoint })
    expect(() => verifyStateProof(mixed, alice.did, { ...keys, logKeys: [other.logKey, scene.logKey] })).toThrow(expect.objectContaining({ code: 'WRONG_ORIGIN' }))
  })

  it('is read back as it was written, and nothing else is read', () => {
    for (const did of [alice.did, carol.did, stranger.did]) expect(parseStateProof(scene.textOf(did))).toEqual(scene.proofOf(did))
    const text = scene.textOf(alice.did)
    for (const other of ['', text.slice(0, -1), `${text}\n`, text.replace('v1', 'v2'), text.replace(' active ', ' alive '), text.replace('step ', 'step 0'), `${text}\n${scene.proofOf(alice.did).logCheckpoint}`]) {
      expect(() => parseStateProof(other)).toThrow(expect.objectContaining({ code: 'MALFORMED_PROOF' }))
    }
    fc.assert(fc.property(fc.string(), (text) => {
      expect(() => parseStateProof(text)).toThrow(expect.objectContaining({ code: 'MALFORMED_PROOF' }))
    }))
  })
})

describe('the data of an identity', () => {
  it('is the end of the operation that says it', () => {
    const { bytes, value } = alice.genesis
    const data = dataOf(alice.genesis)
    if (data === null) throw new Error('a genesis says something')
    const hashed = encodeCbor(dataValue(data))
    expect([...value.keys()].length).toBe(7)
    expect(Buffer.from(bytes).subarray(-(hashed.length - 1)).equals(Buffer.from(hashed).subarray(1))).toBe(true)
  })
})

it('the steps of a path lead by the bits of the key', () => {
  const map = [...scene.states.keys()].map((did) => ({ key: didKey(did), value: new Uint8Array(32) })).sort((a, b) => Buffer.compare(a.key, b.key))
  expect(scene.proofOf(alice.did).path.steps.map(({ bit }) => bit)).toEqual(triePath(packEntries(map), didKey(alice.did)).steps.map(({ bit }) => bit))
})

function entry(did: string, at: number, operation: Operation): Entry {
  return { did, createdAt: START_MS + at, operation, source: null }
}

function policyOf(quorum: string) {
  return parsePolicy(`witness alice ${formatVerifierKey(scene.witnessKey)}\n${quorum}\n`)
}

function refuses(proof: StateProof, did: string): void {
  expect(() => verifyStateProof(formatStateProof(proof), did, keys)).toThrow(DirectoryError)
}
