// The worked examples of spec/log.md, by their names: made by the code, from the seeds and entries that the page names.

import { createHash } from 'node:crypto'
import { hex } from '../../src/core/encoding/text.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { formatCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { cosignatureMessage, subtreeMessage } from '../../src/core/tlog/cosigned-message.ts'
import { appendLeaf, type Edge, edgeRoot, EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash, nodeHash } from '../../src/core/tlog/hash.ts'
import { formatNote, formatSignatureLine, formatSigningKey, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { consistencyPlan, inclusionPlan, type Range, subtreePlan } from '../../src/core/tlog/proof.ts'
import { proofFromTiles, tilePath, tilesOf } from '../../src/core/tlog/tile.ts'
import { formatTlogProof } from '../../src/core/tlog/tlog-proof.ts'

/** Every example; each stands in a code block of the page, byte for byte. */
export function logExamples(): ReadonlyMap<string, string> {
  const utf8 = (text: string) => new Uint8Array(Buffer.from(text))
  const seed = (n: number) => new Uint8Array(32).fill(n)
  const entries = Array.from({ length: 7 }, (_, i) => utf8(`entry ${i}`))
  const leaves = entries.map(leafHash)
  const edge = leaves.reduce<Edge>((edge, leaf) => appendLeaf(edge, leaf).edge, EMPTY_EDGE)
  const tile = new Uint8Array(Buffer.concat(leaves))
  const proofOf = (plan: readonly Range[]) => proofFromTiles(plan, 7, () => tile)
  const hexes = (hashes: readonly Uint8Array[]) => hashes.map((hash) => hex.encode(hash)).join('\n')
  const [leaf0, leaf1] = leaves
  if (leaf0 === undefined || leaf1 === undefined) throw new Error('seven leaves')

  const log = makeSigningKey('log.example', KEY_TYPES.ed25519, seed(1))
  const lattice = makeSigningKey('log.example', KEY_TYPES.mlDsa44, seed(1))
  const witness = makeSigningKey('witness.example', KEY_TYPES.cosignature, seed(2))
  const strong = makeSigningKey('mirror.example', KEY_TYPES.mlDsa44, seed(3))
  const checkpoint = { origin: 'log.example', size: 7, root: edgeRoot(edge) }
  const text = formatCheckpoint(checkpoint)
  const signed = signCheckpoint(checkpoint, [log])
  const cosignature = cosign(checkpoint, witness, 1_800_000_000)
  const strongCosignature = cosign(checkpoint, strong, 1_800_000_000)
  const strongMessage = subtreeMessage({ cosigner: strong.name, timestamp: 1_800_000_000, origin: 'log.example', start: 0, end: 7, hash: checkpoint.root })
  const witnessed = formatNote({ text, signatures: [...parseNote(signed).signatures, cosignature] })
  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  return new Map([
    ['leaf', hex.encode(leaf0)],
    ['node', hex.encode(nodeHash(leaf0, leaf1))],
    ['edge', hexes(edge.hashes)],
    ['root', hex.encode(edgeRoot(edge))],
    ['tiles of 7', [...tilesOf(7)].map(tilePath).join('\n')],
    ['tile digest', digest(tile)],
    ['last tiles of 70000', [...tilesOf(70_000)].slice(272).map(tilePath).join('\n')],
    ['bundle', hex.encode(encodeBundle([utf8('entry 0'), utf8('entry 1'), utf8('')]))],
    ['signing key', formatSigningKey(log)],
    ['verifier key', formatVerifierKey(log)],
    ['witness key', formatVerifierKey(witness)],
    ['lattice ids', `${lattice.name} ${lattice.id}\n${strong.name} ${strong.id}`],
    ['lattice public key digest', digest(strong.publicKey)],
    ['checkpoint', signed],
    ['cosignature message', new TextDecoder().decode(cosignatureMessage(text, 1_800_000_000))],
    ['cosignature', formatSignatureLine(cosignature)],
    ['subtree message', hex.encode(strongMessage)],
    ['subtree signature', `${hex.encode(strongCosignature.signature.subarray(0, 8))} ${digest(strongCosignature.signature.subarray(8))}`],
    ['inclusion', hexes(proofOf(inclusionPlan(5, 7)))],
    ['consistency', hexes(proofOf(consistencyPlan(3, 7)))],
    ['subtree', hexes(proofOf(subtreePlan(4, 6, 7)))],
    ['subtree hash', hex.encode(nodeHash(leafHash(utf8('entry 4')), leafHash(utf8('entry 5'))))],
    ['tlog-proof', formatTlogProof({ extra: utf8('hello'), index: 5, proof: proofOf(inclusionPlan(5, 7)), checkpoint: witnessed })],
    ['policy', `# one log, and one witness that must have seen it\nlog ${formatVerifierKey(log)} https://log.example/\nwitness alice ${formatVerifierKey(witness)} https://witness.example/\ngroup everyone all alice\nquorum everyone`],
  ])
}
