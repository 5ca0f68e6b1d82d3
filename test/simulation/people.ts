// The people of a simulation: owners, thieves, rivals and the careless, each of whom only knows what a client can know.

import type { Made } from './catalog.ts'
import { forge, KEY_COUNT, keyNumber, make, OWNER_KEY } from './catalog.ts'
import type { Post, Reply } from './directory-process.ts'
import { inEffect, type Placed } from './model.ts'
import type { Network } from './network.ts'
import type { Oracle } from './oracle.ts'
import type { World } from './world.ts'

/** Where people live. */
export interface Town {
  readonly world: World
  readonly network: Network
  readonly oracle: Oracle
  /** Everything that was ever sent, by DID. */
  readonly sent: Map<string, Made[]>
  /** How many have been stolen from. */
  victims: number
  /** Whether new things are still begun. */
  busy: boolean
}

// Few, so that what one simulation has signed serves the next.
const ROTATIONS = [[0], [1, 2], [3, 3, 4], [5, 6, 7, 0], [7, 2]]

/** A number of people do as they please until the town is not busy any more. Resolves when all have got their answers. */
export async function live(town: Town, count: number): Promise<void> {
  const roles = [wander, wander, wander, steal, hurry]
  await Promise.all(Array.from({ length: count }, (_, n) => live1(town, roles[n % roles.length] ?? wander)))
}

/** Sends an operation until it is accepted or refused; null where its sender gave up. */
export async function post({ world, network, oracle, sent }: Town, did: string, made: Made, patient = false): Promise<Reply | null> {
  const all = sent.get(did) ?? []
  if (!all.includes(made)) sent.set(did, [...all, made])
  const message: Post = { did, operation: made.operation }
  for (let tries = 0; ; tries++) {
    const sizeBefore = oracle.size
    const processes = network.named('directory')
    const to = processes.length === 0 ? 'directory' : world.random.pick(processes)
    const reply = (await network.request(to, message, 1_000 + world.random.below(40_000))) as Reply | null
    if (reply?.outcome === 'accepted') {
      await oracle.look()
      oracle.acknowledged(did, made.operation.cid, reply.index)
      return reply
    }
    if (reply?.outcome === 'refused') {
      await oracle.look()
      oracle.refused(did, made.claim, reply.code, sizeBefore, world.now)
      return reply
    }
    oracle.saw(reply === null ? 'no reply' : 'unavailable')
    if (!patient && world.random.oneIn(4)) return null
    // A directory whose clock has jumped ahead refuses for an hour: whoever asks in vain asks less and less often.
    await world.sleep(world.random.below(Math.min(60_000, (patient ? 500 : 4_000) * 2 ** Math.floor(tries / 10))))
  }
}

async function live1(town: Town, role: (town: Town) => Promise<void>): Promise<void> {
  const { world } = town
  await world.sleep(world.random.below(3_000))
  while (town.busy) {
    await role(town)
    await world.sleep(world.random.below(6_000))
  }
}

// Does anything that anybody can do to any identity.
async function wander(town: Town): Promise<void> {
  const { random } = town.world
  const did = someDid(town)
  if (did === null || random.oneIn(5)) {
    await begin(town)
    return
  }
  const history = town.oracle.history(did)
  const head = inEffect(history).at(-1)
  if (head === undefined) return
  const earlier = random.pick(history)
  switch (random.below(10)) {
    case 0:
      await postOld(town, did)
      return
    case 1: {
      const made = after(town, head, {})
      await post(town, did, random.oneIn(2) ? forge(made) : make({ prev: made.operation.cid, by: random.below(KEY_COUNT), rotation: [0], handle: 'nowhere' }))
      return
    }
    case 2:
      await post(town, random.oneIn(2) ? did : (someDid(town) ?? did), after(town, earlier, { by: random.below(KEY_COUNT) }))
      return
    case 3:
    case 4:
      // A recovery, perhaps: after any earlier operation, by its strongest key.
      await post(town, did, after(town, earlier, { by: commonKeys(earlier.rotationKeys)[0] ?? 0 }))
      return
    case 5:
      await post(town, did, after(town, head, { tombstone: random.oneIn(3) }))
      return
    case 6:
      await Promise.all(Array.from({ length: 3 }, () => post(town, did, after(town, head, {}))))
      return
    default:
      await chain(town, did, head, 1 + random.below(3))
  }
}

// Signs with the weakest key as fast as answers come, while the owner looks on for a while and then takes it back.
async function steal(town: Town): Promise<void> {
  const { world } = town
  const [genesis, did] = await begin(town, [OWNER_KEY, 2, 5], `victim ${town.victims++}`)
  const [root] = town.oracle.history(did)
  if (root === undefined) return
  const thief = { steals: true }
  const theft = (async () => {
    let prev: Placed = root
    for (let n = 0; thief.steals && town.busy && n < 25; n++) {
      await post(town, did, after(town, prev, { by: 5, handle: `thief ${n}` }))
      prev = inEffect(town.oracle.history(did)).at(-1) ?? prev
    }
  })()
  await world.sleep(world.random.below(40_000))
  const recovery = make({ prev: genesis.operation.cid, by: OWNER_KEY, rotation: world.random.oneIn(2) ? [OWNER_KEY, 2] : [OWNER_KEY, 2, 5], handle: 'owner' })
  const seen = town.oracle.history(did).length
  for (let tries = 0; tries < 5; tries++) {
    const reply = await post(town, did, recovery, true)
    if (reply?.outcome === 'accepted') break
    town.oracle.check(reply?.outcome === 'refused' && reply.code === 'STALE_PREV', `an owner was refused a recovery after ${seen} operations: ${JSON.stringify(reply)}`)
  }
  thief.steals = false
  await theft
  town.oracle.saw('thefts')
}

// Sends a whole history at once, and the same again at the same time from somewhere else.
async function hurry(town: Town): Promise<void> {
  const { random } = town.world
  const rotation = [random.below(3), 3 + random.below(3)]
  const first = make({ prev: null, by: rotation[0] ?? 0, rotation, handle: `hurry ${random.below(20)}` })
  const did = first.claim.begins
  const all = [first]
  for (let n = 0; n < 3; n++) all.push(make({ prev: all.at(-1)?.operation.cid ?? '', by: random.pick(rotation), rotation, handle: `h${n}` }))
  if (random.oneIn(3)) all.push(make({ prev: all.at(-1)?.operation.cid ?? '', by: rotation[0] ?? 0, rotation: null, handle: '' }))
  await Promise.all([...all, ...(random.oneIn(2) ? all : [])].map((made) => post(town, did, made)))
}

async function begin(town: Town, rotation?: readonly number[], name?: string): Promise<readonly [Made, string]> {
  const { random } = town.world
  const keys = rotation ?? random.pick(ROTATIONS)
  const genesis = make({ prev: null, by: keys.at(-1) ?? 0, rotation: keys, handle: name ?? `person ${random.below(30)}` })
  const did = genesis.claim.begins
  await post(town, did, genesis)
  return [genesis, did]
}

async function chain(town: Town, did: string, from: Placed, length: number): Promise<void> {
  let prev: Pick<Placed, 'cid' | 'rotationKeys'> = from
  const posts: Promise<unknown>[] = []
  for (let n = 0; n < length; n++) {
    const made = after(town, prev, {})
    posts.push(post(town, did, made))
    prev = made.claim
  }
  await Promise.all(posts)
}

async function postOld(town: Town, did: string): Promise<void> {
  await post(town, did, town.world.random.pick(town.sent.get(did) ?? []))
}

/** An operation after another: by one of its keys, with its keys or others, unless it is said. */
function after(
  { world: { random } }: Town,
  { cid, rotationKeys }: Pick<Placed, 'cid' | 'rotationKeys'>,
  { by, tombstone = false, handle }: { readonly by?: number; readonly tombstone?: boolean; readonly handle?: string },
): Made {
  const keys = commonKeys(rotationKeys)
  const signer = by ?? (keys.length === 0 ? 0 : random.pick(keys))
  const rotation = tombstone ? null : random.oneIn(4) ? [random.below(KEY_COUNT), ...keys].slice(0, 4) : keys
  return make({ prev: cid, by: signer, rotation, handle: handle ?? `h${random.below(4)}` })
}

// Those that anybody has.
function commonKeys(rotationKeys: readonly string[]): number[] {
  return rotationKeys.map(keyNumber).filter((key) => key >= 0 && key < KEY_COUNT)
}

function someDid({ world, oracle }: Town): string | null {
  const { dids } = oracle
  return dids.length === 0 ? null : world.random.pick(dids)
}
