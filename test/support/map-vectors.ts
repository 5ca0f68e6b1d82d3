// The files of spec/vectors/map, by their names: a trie as it grows, the values of identities, and state proofs, valid and not.

import { dataValue } from '../../src/core/did-state.ts'
import { encodeCbor } from '../../src/core/encoding/dag-cbor.ts'
import { base64, hex, utf8Encode } from '../../src/core/encoding/text.ts'
import type { Entry } from '../../src/core/entry.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { didKey, stateValue } from '../../src/core/map/did-state.ts'
import { packEntries, triePath, trieRoot, type MapEntry } from '../../src/core/map/trie.ts'
import { dataOf } from '../../src/core/plc/operation.ts'
import { chainsFromRows } from '../../src/core/replay.ts'
import { formatStateProof, verifyStateProof, type StateProof } from '../../src/core/state-proof.ts'
import { headOf } from '../../src/core/plc/chain.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { parsePolicy } from '../../src/core/tlog/policy.ts'
import { mapScene } from './map-scene.ts'

/** What the histories of the vectors are called here: each with its entries' operations in order. */
export interface MapVectorLog {
  readonly entries: readonly Entry[]
  /** DIDs of which something is shown, by what is remarkable about them. */
  readonly remarkable: Readonly<Record<string, string>>
}

/** `log` has entries after the first `size`, which the newest version of the map does not know. */
export function mapVectors({ entries, remarkable }: MapVectorLog, size: number): [string, string][] {
  const scene = mapScene('vectors.example/log', entries, [0, 3, size])
  const policy = `log ${formatVerifierKey(scene.logKey)}\nlog ${formatVerifierKey(scene.mapKey)}\nwitness alice ${formatVerifierKey(scene.witnessKey)}\nquorum alice\n`
  const trust = { logKeys: [scene.logKey], mapKeys: [scene.mapKey], policy: parsePolicy(policy) }
  const chains = chainsFromRows(scene.rows.slice(0, size))
  const values = [...scene.states].map(([did, state]) => {
    const head = headOf(chains.get(did)?.chain ?? { did, links: [] })
    const data = head === null ? null : dataOf(head.operation)
    const rows = scene.rows.slice(0, size).filter((row) => row.did === did && row.rejected === null)
    return {
      did,
      key: hex.encode(didKey(did)),
      entries: rows.map(({ index, entry }) => ({ index, leafHash: hex.encode(leafHash(entry)) })),
      history: hex.encode(state.history),
      head: state.head,
      deactivated: state.deactivated,
      data: data === null ? null : hex.encode(encodeCbor(dataValue(data))),
      value: hex.encode(stateValue(state)),
    }
  })
  const proofs = Object.entries(remarkable).map(([name, did]) => [name, scene.proofOf(did)] as const)
  const [updated, absent, recovered] = ['updated', 'absent', 'recovered'].map((name) => proofs.find(([other]) => other === name)?.[1])
  if (updated === undefined || updated.state === null || absent === undefined || recovered === undefined || recovered.state === null) throw new Error('the log of the vectors has these')
  const older = mapScene('vectors.example/log', entries, [0, 3])
  const text = formatStateProof(updated)
  const made: Record<string, StateProof> = {
    'without-the-newest-entry': { ...updated, entries: updated.entries.slice(0, -1), state: { ...updated.state, entries: updated.entries.length - 1 } },
    'absence-of-what-is-there': { ...absent, did: updated.did, path: { steps: updated.path.steps, leaf: { key: didKey(recovered.did), value: stateValue(recovered.state) } } },
    'of-an-earlier-leaf': { ...older.proofOf(updated.did), inclusion: updated.inclusion, mapCheckpoint: updated.mapCheckpoint },
    'another-state': { ...updated, state: { ...updated.state, head: updated.entries[0]?.index ?? 0 } },
    'another-entry': { ...updated, entries: updated.entries.map((entry, i) => (i === 0 ? { ...entry, index: entry.index + 1 } : entry)) },
    'steps-that-do-not-ascend': { ...updated, path: { ...updated.path, steps: updated.path.steps.toReversed() } },
    'not-consistent': { ...updated, consistency: updated.consistency.toReversed() },
    'the-checkpoints-exchanged': { ...updated, mapCheckpoint: updated.logCheckpoint, logCheckpoint: updated.mapCheckpoint },
    'without-the-witness': { ...updated, mapCheckpoint: updated.mapCheckpoint.replace(/^\u2014 witness.*\n/m, '') },
  }
  const invalid: [string, string][] = [
    ...Object.entries(made).map(([name, proof]): [string, string] => [name, formatStateProof(proof)]),
    ['about-another-did', text.replace(updated.did, recovered.did)],
    ['state-and-leaf', text.replace(/^state /m, `leaf ${base64.encode(didKey(absent.did))} ${base64.encode(didKey(absent.did))}\nstate `)],
    ['another-version', text.replace('v1', 'v2')],
    ['no-last-newline', text.slice(0, -1)],
  ]
  const refused = invalid.map(([name, text]) => [name, verdictOf(() => verifyStateProof(text, updated.did, trust)).verdict?.code ?? null])
  return [
    ['map/log.vkey', `${formatVerifierKey(scene.logKey)}\n`],
    ['map/map.vkey', `${formatVerifierKey(scene.mapKey)}\n`],
    ['map/policy', policy],
    ['map/trie.json', pretty(trieVector())],
    ['map/values.json', pretty(values)],
    ...proofs.map(([name, proof]): [string, string] => [`map/valid/${name}.state-proof`, formatStateProof(proof)]),
    ...invalid.map(([name, text]): [string, string] => [`map/invalid/${name}.state-proof`, text]),
    ['map/refused.json', pretty(Object.fromEntries(refused))],
  ]
}

// Twelve keys, two of which part at the last bit, one after the other; then the paths of all, and of two that are not there.
function trieVector(): unknown {
  const keys = Array.from({ length: 10 }, (_, i) => didKey(`key ${i}`))
  const [first] = keys
  if (first === undefined) throw new Error('there are keys')
  const twin = first.slice()
  twin[31] = (twin[31] ?? 0) ^ 1
  const cousin = first.slice()
  cousin[20] = (cousin[20] ?? 0) ^ 0x10
  const given = [...keys, twin, cousin].map((key, i): MapEntry => ({ key, value: didKey(`value ${i}`) }))
  const roots = given.map((_, i) => trieRoot(packEntries(given.slice(0, i + 1))))
  const all = packEntries(given)
  const asked = [...given.map(({ key }) => key), didKey('key 10'), cousin.map((byte, i) => (i === 31 ? byte ^ 0x80 : byte))]
  return {
    empty: hex.encode(trieRoot(packEntries([]))),
    added: given.map(({ key, value }, i) => ({ key: hex.encode(key), value: hex.encode(value), root: hex.encode(roots[i] ?? utf8Encode('')) })),
    paths: asked.map((key) => {
      const { steps, leaf } = triePath(all, key)
      return { key: hex.encode(key), steps: steps.map(({ bit, sibling }) => ({ bit, sibling: hex.encode(sibling) })), leaf: leaf === null ? null : { key: hex.encode(leaf.key), value: hex.encode(leaf.value) } }
    }),
  }
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
