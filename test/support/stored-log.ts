// Whole logs in a store in memory, made from leaves: what a writer would leave behind, and what a broken one would.

import { encodeEntry } from '../../src/core/entry.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { chainsFromRows, planQuestions, planReplay, replay } from '../../src/core/replay.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, type SigningKey } from '../../src/core/tlog/note.ts'
import type { VerifyAnswers } from '../../src/client/check-tree.ts'
import { findSigner, type SignatureAnswer } from '../../src/core/plc/signature.ts'
import { memoryStore, type MemoryOptions } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { person } from './people.ts'

/** The key of the logs made here. */
export const LOG_KEY: SigningKey = makeSigningKey('stored.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(9))

/** When the first entry of `identityLeaves` was accepted; the others follow, a second each. */
export const FIRST_MS = 1_700_000_000_000

/** A store whose log holds these leaves, rejected ones included, and a published checkpoint over all of them. */
export async function storedLog(leaves: readonly Uint8Array[]): Promise<Store> {
  const store = await emptyLog()
  await appendLeaves(store, leaves)
  await publishAll(store)
  return store
}

/** A store whose log has no entries; nothing is published. */
export async function emptyLog(options: MemoryOptions = {}): Promise<Store> {
  const store = memoryStore(options)
  await store.create({ origin: LOG_KEY.name, guardId: 'a guard', vkeys: [formatVerifierKey(LOG_KEY)] })
  return store
}

/** Appends leaves as they are. */
export async function appendLeaves(store: Store, leaves: readonly Uint8Array[]): Promise<void> {
  await store.underHead(async (locked) => {
    const { head } = locked
    const plan = planReplay(leaves)
    const chains = chainsFromRows(await locked.history(plan.dids, 0))
    const entries = plan.decoded.flatMap((entry) => (entry instanceof DirectoryError ? [] : [entry]))
    const answers = (await verifyOnce(planQuestions(entries, chains))).values()
    const aligned = plan.decoded.map((entry) => (entry instanceof DirectoryError ? undefined : answers.next().value))
    const { rows, nullified, growth, state } = replay({ edge: head.edge, clock: head.clock }, plan, chains, aligned)
    await locked.append({
      from: { size: head.size, root: head.root },
      entries: rows,
      nullified,
      tiles: growth.tiles,
      to: { size: state.edge.size, root: growth.root, edge: state.edge, clock: state.clock },
    })
  })
}

/** Publishes a checkpoint over all entries. */
export async function publishAll(store: Store): Promise<void> {
  const head = await store.head()
  if (head === null) throw new Error('there is no log')
  const { origin, size, root } = head
  await store.publish({ size, root, note: signCheckpoint({ origin, size, root }, [LOG_KEY]), publishedAt: FIRST_MS })
}

/** Native entries of `count` identities, a genesis each; signed once only. */
export function identityLeaves(count: number): Uint8Array[] {
  for (let i = signed.length; i < count; i++) {
    const { did, genesis } = person(`resident ${i}`, 1)
    signed.push(encodeEntry({ did, createdAt: FIRST_MS + i * 1_000, operation: genesis, source: null }))
  }
  return signed.slice(0, count)
}

const signed: Uint8Array[] = []
const verifyOnce = rememberingVerifier()

/** The portable implementation, which remembers what it was asked: for tests that check one log many times. */
export function rememberingVerifier(): VerifyAnswers {
  const known = new Map<string, SignatureAnswer>()
  return (questions) =>
    Promise.resolve(
      questions.map((question) => {
        if (question === null) return undefined
        const key = JSON.stringify([Buffer.from(question.message).toString('base64'), question.sig, question.keys])
        const answer = known.get(key) ?? findSigner(question)
        known.set(key, answer)
        return answer
      }),
    )
}
