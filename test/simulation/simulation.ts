// One simulated life of a directory with its map: people, processes that die, a network and a database that fail, clocks that err, mirrors and monitors.

import { mapOrigin } from '../../src/core/map/map-leaf.ts'
import { EMPTY_ROOT } from '../../src/core/tlog/hash.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import { GuardError } from '../../src/log/guard.ts'
import { forge, keyNumber, make, tidy, type Made } from './catalog.ts'
import { Database, type Weather } from './database.ts'
import { isAlarm, startProcess, type DirectoryProcess, type Machine, type MapPlace, type Reply, type Site } from './directory-process.ts'
import { guardDisk, type GuardDisk } from './guard-disk.ts'
import { MapOracle } from './map-oracle.ts'
import { inEffect, judge } from './model.ts'
import { MirrorTown } from './mirrors.ts'
import { Monitors, type Servers } from './monitors.ts'
import { Network } from './network.ts'
import { Oracle, Violation, type Sightings } from './oracle.ts'
import { live, post, type Town } from './people.ts'
import { askForProofs, type Prover } from './provers.ts'
import { Web } from './web.ts'
import { WitnessTown } from './witnesses.ts'
import { BEGINNING_MS, World } from './world.ts'

const ORIGIN = 'simulation.test/log'
const KEYS = [makeSigningKey(ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(3))]
const MAP_KEYS = [makeSigningKey(mapOrigin(ORIGIN), KEY_TYPES.ed25519, new Uint8Array(32).fill(4))]
const WEEK_MS = 7 * 86_400_000
/** More steps than any simulation needs: one that gets here hangs. */
const MOST_STEPS = 200_000
/** One seed in so many has witnesses. */
const WITNESSED = 5
/** One seed in so many has mirrors, and monitors. */
const MIRRORED = 3
/** One seed in so many has no map. */
const UNMAPPED = 3
/** In peace the map has followed the log within this. */
const MAP_SETTLES_MS = 120_000
/** Steps between two looks at everything. */
const WHOLE_EVERY = 2_000

// What is waited for here ends by the simulated clock alone, and a slow machine changes nothing.
AbortSignal.timeout = () => new AbortController().signal

/** What one simulation was. */
export interface Outcome {
  readonly seed: number
  readonly steps: number
  readonly entries: number
  readonly simulatedMs: number
  readonly sightings: Sightings
  /** Names the whole course of events: the same for the same seed. */
  readonly fingerprint: string
}

/** Lives one life. Throws where a promise is broken; the message names the seed and how to see it again. */
export async function simulate(seed: number): Promise<Outcome> {
  tidy()
  const world = new World(seed)
  const database = new Database(world)
  const network = new Network(world)
  const witnesses = seed % WITNESSED === 0 ? new WitnessTown(world, network, KEYS, MAP_KEYS) : null
  const oracle = new Oracle(database.store, KEYS, witnesses?.policy ?? null)
  // Few seeds pay for a real file and real signatures.
  const kind = seed % 10 === 0 ? 'file' : 'memory'
  using disk = guardDisk(kind, ORIGIN, 'guard', { size: 0, root: EMPTY_ROOT })
  using mapDisk = guardDisk(kind, mapOrigin(ORIGIN), 'guard of the map', { size: 0, root: EMPTY_ROOT })
  const map = seed % UNMAPPED === 0 ? null : { oracle: new MapOracle(oracle, database.store, KEYS, MAP_KEYS), keys: MAP_KEYS, disk: mapDisk }
  const verify: Site['verify'] = async (questions) => questions.map((question) => (question === null ? undefined : findSigner(question)))
  const web = seed % MIRRORED === 1 ? new Web(world, network, oracle) : null
  const site: Site = { world, database, network, oracle, keys: KEYS, witnesses, web, map, ends: [], ...(seed % 25 === 0 ? { verify } : {}) }
  const town: Town = { world, network, oracle, sent: new Map(), victims: 0, busy: true }
  await database.store.create({ origin: ORIGIN, guardId: disk.id, vkeys: KEYS.map(formatVerifierKey) })
  if (map !== null) await database.store.map.create({ origin: mapOrigin(ORIGIN), guardId: mapDisk.id, vkeys: MAP_KEYS.map(formatVerifierKey) })
  using mirrors = web === null ? null : await MirrorTown.found(site)
  const fleet = new Fleet(site, disk)
  const monitors = mirrors === null ? null : new Monitors(site, serversOf(site, fleet, mirrors))

  try {
    await drive(site, fleet, mirrors, monitors, story(town, site, fleet, mirrors, monitors))
    await oracle.lookWhole()
    await map?.oracle.lookWhole()
    await mirrors?.lookWhole()
  } catch (error) {
    // What is thrown may be a consequence of what was seen first.
    const reason = oracle.violation ?? error
    const words = reason instanceof Error ? reason.message : String(reason)
    throw new Error(`seed ${seed}, step ${world.steps}: ${words}\nto see it again: STELE_SEED=${seed} npx vitest run test/simulation/simulation.test.ts`, { cause: error })
  } finally {
    for (const end of site.ends) end.abort(new Error('the simulation is over'))
  }
  const head = await database.store.head()
  const { steps } = world
  return {
    seed,
    steps,
    entries: oracle.size,
    simulatedMs: world.now - BEGINNING_MS,
    sightings: oracle.sightings,
    fingerprint: `${steps} ${world.now} ${Buffer.from(head?.root ?? []).toString('hex')}`,
  }
}

function serversOf({ oracle, database }: Site, fleet: Fleet, mirrors: MirrorTown): Servers {
  return {
    published: (host) => (host === 'directory' ? Math.min(oracle.published, ...fleet.running.filter(({ life }) => !life.ended).map(({ tip }) => tip.published)) : mirrors.published(host)),
    calmForMs: (host) => (host === 'directory' ? database : mirrors.databaseOf(host)).calmForMs,
    cutOff: (host) => mirrors.cutOff(host),
    contradicted: () => mirrors.contradicted,
  }
}

// Steps until the story is told; looks after every step.
async function drive({ world, oracle, map }: Site, fleet: Fleet, mirrors: MirrorTown | null, monitors: Monitors | null, story: Promise<void>): Promise<void> {
  const end: { told: boolean; failure: unknown } = { told: false, failure: null }
  story.then(
    () => (end.told = true),
    (error: unknown) => (end.failure = error),
  )
  for (let step = 1; !end.told; step++) {
    const moved = await world.step()
    await (map?.oracle ?? oracle).look()
    await mirrors?.look()
    monitors?.look()
    for (const { name, tip, life, map: held } of fleet.running) {
      if (life.ended) continue
      oracle.believes(name, tip)
      if (held !== null) map?.oracle.shows(name, held.shown)
    }
    if (step % WHOLE_EVERY === 0) {
      await oracle.lookWhole()
      await map?.oracle.lookWhole()
    }
    if (oracle.violation !== null) throw oracle.violation
    if (end.failure !== null) throw end.failure
    if (fleet.alarm !== null) throw fleet.alarm
    if (!moved && !end.told) throw new Violation('nothing is to come any more, and somebody still waits')
    if (step > MOST_STEPS) throw new Violation('it does not come to an end')
  }
}

async function story(town: Town, site: Site, fleet: Fleet, mirrors: MirrorTown | null, monitors: Monitors | null): Promise<void> {
  const { world, database, network } = site
  const oracle: Oracle = site.oracle
  fleet.open()
  mirrors?.open()
  const provers = (): readonly Prover[] => [...fleet.provers, ...(mirrors?.provers ?? [])]
  let people = begin(town, site, mirrors, monitors, provers)
  const days = 1 + world.random.below(2)
  for (let day = 0; day < days; day++) {
    await trouble(site, fleet, mirrors, 8 + world.random.below(14))
    // A night: everything stands still for hours.
    town.busy = false
    calm(site, fleet)
    mirrors?.calm()
    await mirrors?.close()
    await people
    // A witness whose clock was ahead refuses for as long.
    if (site.map !== null && site.witnesses === null) {
      // Nothing comes any more that could bring on what a process left half done.
      fleet.crashAll()
      await mapSettles(site, site.map)
    }
    await fleet.close()
    await world.sleep(world.random.below(80) * 3_600_000)
    if (day === days - 1) break
    town.busy = true
    fleet.open()
    mirrors?.open()
    people = begin(town, site, mirrors, monitors, provers)
  }
  network.lossy = Infinity
  fleet.open()
  await afterwards(town)
  await fleet.close()
  await world.sleep(WEEK_MS + 1000)
  fleet.open()
  await everybodyCanUpdate(town)
  // A quorum may be missed at the very end by one slow message: in peace it is met soon after.
  if (site.witnesses !== null) await world.sleep(60_000)
  if (site.map !== null) await mapSettles(site, site.map)
  mirrors?.open(true)
  await mirrors?.settle()
  await mirrors?.close()
  await fleet.close()
  const publication = await database.store.publication()
  // Where several accept, one may do so after the signer has stopped.
  const alone = fleet.machines.length === 1
  oracle.check(!alone || publication?.size === oracle.size, 'a directory has stopped in good order and not published everything')
}

function begin(town: Town, { map }: Site, mirrors: MirrorTown | null, monitors: Monitors | null, provers: () => readonly Prover[]): Promise<unknown> {
  const people = Promise.all([live(town, 4 + town.world.random.below(8)), monitors?.guard(town), mirrors?.askers?.live(town), map === null ? null : askForProofs(town, map.oracle, provers)])
  people.catch(() => undefined)
  return people
}

// In peace the map follows the log.
async function mapSettles({ world, oracle }: Site, { oracle: map }: MapPlace): Promise<void> {
  const log: Oracle = oracle
  for (const end = world.now + MAP_SETTLES_MS; map.published !== oracle.published; await world.sleep(1_000)) {
    log.check(world.now < end, `the map stays at ${map.published} entries, and the log has published ${oracle.published}`)
  }
}

// A number of bad moments.
async function trouble(site: Site, fleet: Fleet, mirrors: MirrorTown | null, moments: number): Promise<void> {
  const { world, database, network, oracle } = site
  const { random } = world
  for (let moment = 0; moment < moments; moment++) {
    await world.sleep(random.below(12_000))
    site.witnesses?.trouble(oracle, site.map !== null && random.oneIn(3) ? mapOrigin(ORIGIN) : ORIGIN)
    await mirrors?.trouble()
    switch (random.below(10)) {
      case 0:
      case 1:
        fleet.crashOne()
        break
      case 2:
        oracle.saw('small clock errors')
        random.pick([database, ...fleet.machines]).clockOffsetMs += random.below(8_000) - 4_000
        break
      case 3: {
        oracle.saw('large clock errors')
        const jump = random.pick([-3_600_000, -60_000, 30_000, 3_600_000])
        const wrong = random.oneIn(2) ? [random.pick([database, ...fleet.machines])] : [database, ...fleet.machines]
        for (const clock of wrong) clock.clockOffsetMs += jump
        break
      }
      case 4:
        for (const clock of [database, ...fleet.machines]) clock.clockOffsetMs = 0
        break
      case 5:
        network.lossy = random.pick([3, 10, 30])
        break
      case 6:
        void fleet.secondSigner()
        break
      case 7:
      case 8:
        database.weather = 'rough'
        break
      default:
        database.weather = random.pick<Weather>(['calm', 'slow', 'down'])
    }
  }
}

// The end of all trouble: clocks are right, and whoever has refused them is started again.
function calm({ database, network, witnesses }: Site, fleet: Fleet): void {
  database.weather = 'calm'
  witnesses?.calm()
  network.lossy = 50
  for (const clock of [database, ...fleet.machines]) clock.clockOffsetMs = 0
  for (const process of fleet.running) process.crash()
}

// In peace every operation that was ever sent gets the answer that the rules give.
async function afterwards(town: Town): Promise<void> {
  const { world, sent } = town
  const oracle: Oracle = town.oracle
  const everything = [...sent].flatMap(([did, all]) => all.map((made) => ({ did, made })))
  // What an operation undoes may be what another would follow: one after the other, in any order.
  for (const { did, made } of everything.sort(() => world.random.below(3) - 1).slice(0, 50)) {
    const judgement = judge(did, oracle.history(did), made.claim, Math.max(world.now, oracle.newest))
    const reply = await settled(town, did, made)
    if (reply.outcome === 'refused' && reply.code === 'RATE_LIMITED') continue
    const right = 'known' in judgement ? reply.outcome === 'accepted' && reply.index === judgement.known : (reply.outcome === 'accepted') === 'undoes' in judgement
    oracle.check(right, `${made.claim.cid} of ${did}: the rules say ${JSON.stringify(judgement)}, the directory ${JSON.stringify(reply)}`)
  }
}

async function everybodyCanUpdate(town: Town): Promise<void> {
  await Promise.all(town.oracle.dids.map((did) => ownerCanUpdate(town, did)))
}

async function ownerCanUpdate(town: Town, did: string): Promise<void> {
  const oracle: Oracle = town.oracle
  const head = inEffect(oracle.history(did)).at(-1)
  const keys = (head?.rotationKeys ?? []).map(keyNumber)
  const [strongest] = keys
  if (head === undefined || head.tombstone || strongest === undefined) return
  const update = make({ prev: head.cid, by: strongest, rotation: keys, handle: 'at last' })
  const reply = await settled(town, did, update)
  oracle.check(reply.outcome === 'accepted', `the owner of ${did} cannot update it: ${JSON.stringify(reply)}`)
  const forged = await settled(town, did, forge(make({ prev: update.operation.cid, by: strongest, rotation: keys, handle: 'forged' })))
  oracle.check(forged.outcome === 'refused', 'a forged update was accepted')
}

// A process that has not heard of what another has written says so, and soon has.
async function settled(town: Town, did: string, made: Made): Promise<Reply> {
  for (let tries = 0; ; tries++) {
    const reply = await post(town, did, made, true)
    town.oracle.check(reply !== null && tries < 20, `${made.claim.cid} of ${did} does not settle`)
    if (reply.outcome !== 'refused' || reply.code !== 'STALE_PREV') return reply
    await town.world.sleep(2_000)
  }
}

// The processes of a directory: one signer and some that accept only, each started again when it ends.
class Fleet {
  readonly machines: readonly Machine[]
  readonly #site: Site
  readonly #disk: GuardDisk
  #open = false
  #keepers: Promise<void>[] = []
  readonly #running = new Set<DirectoryProcess>()
  #wake = new AbortController()
  /** A reason to stop for ever that some process gave. */
  alarm: Error | null = null

  constructor(site: Site, disk: GuardDisk) {
    this.#site = site
    this.#disk = disk
    this.machines = Array.from({ length: 1 + site.world.random.below(3) }, () => ({ clockOffsetMs: site.world.random.below(4_000) - 2_000 }))
  }

  get running(): readonly DirectoryProcess[] {
    return [...this.#running]
  }

  /** Those that hold a map. */
  get provers(): readonly Prover[] {
    return this.running.flatMap(({ life, map }) => (map === null || life.ended ? [] : [{ life, held: map }]))
  }

  open(): void {
    this.#open = true
    this.#wake = new AbortController()
    this.#keepers = this.machines.map((machine, n) => this.#keep(machine, n))
  }

  /** Stops all in good order. */
  async close(): Promise<void> {
    this.#open = false
    this.#wake.abort()
    await Promise.all(this.#keepers)
  }

  crashOne(): void {
    const { running } = this
    if (running.length === 0) return
    const { oracle, world: { random } } = this.#site
    oracle.saw('crashes')
    if (random.oneIn(4)) random.pick(running).crash()
    else random.pick(running).doom(1 + random.below(40))
  }

  /** Each in the midst of something, soon. */
  crashAll(): void {
    for (const process of this.#running) process.doom(1 + this.#site.world.random.below(60))
  }

  /** Tries to start a second signer: it must be refused while the first is at work. */
  async secondSigner(): Promise<void> {
    const { oracle } = this.#site
    if (![...this.#running].some(({ name, life }) => name.endsWith(' 0') && !life.ended)) return
    const error: unknown = await startProcess(this.#site, 'directory 9', { clockOffsetMs: 0 }, this.#disk).then(() => null, (error: unknown) => error)
    if (!(error instanceof GuardError)) this.alarm ??= new Violation('two signers have started')
    oracle.saw('second signers')
  }

  async #keep(machine: Machine, n: number): Promise<void> {
    const { world, oracle } = this.#site
    while (this.#open) {
      let process: DirectoryProcess
      try {
        process = await startOrGiveUp(this.#site, `directory ${n}`, machine, n === 0 ? this.#disk : null)
      } catch (error) {
        if (isAlarm(error)) this.alarm ??= error instanceof Error ? error : new Error(String(error))
        oracle.saw('failed starts')
        await world.sleep(world.random.below(3_000), this.#wake.signal)
        continue
      }
      this.#running.add(process)
      oracle.saw('starts')
      const shiftEnds = world.sleep(20_000 + world.random.below(200_000), this.#wake.signal)
      const reason = await Promise.race([process.ended, shiftEnds, process.life.race(new Promise<never>(() => undefined)).catch(() => undefined)])
      if (reason instanceof Error && isAlarm(reason) && !process.life.ended) this.alarm ??= reason
      if (!process.life.ended) {
        await process.life.race(process.stop()).catch(() => undefined)
        oracle.saw('stops')
      }
      process.crash()
      this.#running.delete(process)
      if (this.#open) await world.sleep(world.random.below(5_000), this.#wake.signal)
    }
  }
}

// A process that dies while it starts never says so.
async function startOrGiveUp(site: Site, name: string, machine: Machine, disk: GuardDisk | null): Promise<DirectoryProcess> {
  const starting = startProcess(site, name, machine, disk)
  const late = site.world.sleep(60_000).then(() => null)
  const process = await Promise.race([starting, late])
  if (process !== null) return process
  starting.then((process) => process.crash()).catch(() => undefined)
  throw new Error('it does not start')
}
