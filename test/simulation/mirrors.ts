// The mirrors of a simulated log, one of them of another mirror, an upstream that lies to them, and what must hold of each after every step.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { parseCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, parseNote } from '../../src/core/tlog/note.ts'
import { MIRROR_GUARD } from '../../src/log/open-log.ts'
import { UNMADE_ROOT } from '../../src/map/derive.ts'
import type { Head, MapHead, MapVersion, Publication } from '../../src/storage/store.ts'
import { checkLog } from '../support/check-log.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { recall } from './catalog.ts'
import { Askers, CosignOracle } from './cosignatures.ts'
import { Database, type Weather } from './database.ts'
import type { Site } from './directory-process.ts'
import { Liar, type Branch } from './liar.ts'
import { startMirrorProcess, type Mirror, type MirrorProcess } from './mirror-process.ts'
import { Violation, type Oracle } from './oracle.ts'
import type { Prover } from './provers.ts'
import { plant } from './rule-breakers.ts'

/** After the end of all trouble a mirror reaches what its upstreams show within this. */
const SETTLE_MS = 300_000

/** Whoever is shown a contradiction has stopped within this. */
const HALT_MS = 2_000

/** A transaction whose reply was lost is over within this. */
const LAST_WRITE_MS = 30_000

/** A mirror, its process, and what was seen of it. */
interface Watched extends Mirror {
  process: MirrorProcess | null
  head: Head | null
  publication: Publication | null
  map: { readonly head: MapHead | null; readonly publication: Publication | null; readonly version: MapVersion | null }
  /** Where it stopped for ever; null where it goes on. */
  haltedAt: { readonly size: number; readonly now: number; readonly process: MirrorProcess; readonly evidence: boolean } | null
}

/** Three mirrors on the web of a site. */
export class MirrorTown implements Disposable {
  readonly #site: Site
  readonly #liar: Liar
  readonly #all: readonly Watched[]
  readonly #folder: string
  readonly #plants: boolean
  /** Who asks them to cosign the map; null where there is none. */
  readonly askers: Askers | null
  #open = false
  #keepers: Promise<void>[] = []
  #wake = new AbortController()

  private constructor(site: Site, folder: string, liar: Liar, all: readonly Watched[]) {
    this.#site = site
    this.#folder = folder
    this.#liar = liar
    this.#all = all
    this.#plants = site.world.random.oneIn(3)
    const cosigner = all.find(({ cosigns }) => cosigns !== null)
    this.askers = site.map === null || cosigner === undefined ? null : new Askers(site, site.map, liar, cosigner.name)
    liar.onShown = (to, note) => void this.#shown(to, note)
  }

  /** Founds them: the first asks the directory, the second whoever lies, the third the first; some of them another, too. One of the first two cosigns. */
  static async found(site: Site): Promise<MirrorTown> {
    const { world, oracle, database, keys, web, map } = site
    const { random } = world
    const folder = mkdtempSync(join(tmpdir(), 'stele-simulation-'))
    const liar = new Liar(world, oracle, database.store, keys, map, random.oneIn(2))
    web?.fronts.set('liar', liar)
    const hosts = [random.pick([['directory'], ['directory', 'liar'], ['liar', 'directory']]), random.pick([['liar'], ['liar', 'directory']]), random.pick([['mirror-0'], ['mirror-0', 'mirror-1'], ['mirror-0', 'liar']])]
    const cosigned = map === null ? null : new CosignOracle(oracle, map.oracle)
    const cosigner = random.below(2)
    const all = hosts.map((upstreams, n) => ({ name: `mirror-${n}`, upstreams, database: new Database(world), folder: join(folder, String(n)), cosigns: n === cosigner ? cosigned : null, process: null, head: null, publication: null, map: { head: null, publication: null, version: null }, haltedAt: null }))
    const [key] = keys
    for (const mirror of all) await mirror.database.store.create({ origin: key?.name ?? '', guardId: MIRROR_GUARD, vkeys: keys.map(formatVerifierKey) })
    return new MirrorTown(site, folder, liar, all)
  }

  /** Those that hold a map. */
  get provers(): readonly Prover[] {
    return this.#all.flatMap(({ process }) => (process === null || process.life.ended ? [] : [{ life: process.life, held: process.map }]))
  }

  /** Entries that a mirror, while somebody serves there, has published. */
  published(host: string): number {
    const { process } = this.#find(host)
    return process === null || process.life.ended ? 0 : process.tip.published
  }

  /** Cuts a mirror off from all that it asks. */
  cutOff(host: string): void {
    for (const upstream of this.#find(host).upstreams) this.#site.web?.cut(host, upstream)
    this.#site.oracle.saw('mirrors cut off')
  }

  /** The database of a mirror. */
  databaseOf(host: string): Database {
    return this.#find(host).database
  }

  /** Whether the log's key has signed what contradicts the log. */
  get contradicted(): boolean {
    return this.#liar.contradicts
  }

  /** Opens them for a day; in `peace` nobody lies. */
  open(peace = false): void {
    this.#open = true
    this.#wake = new AbortController()
    this.#keepers = [...(peace ? [] : [this.#lie()]), ...this.#all.map((mirror) => this.#keep(mirror))]
  }

  /** Stops all in good order. */
  async close(): Promise<void> {
    this.#open = false
    this.#wake.abort()
    await Promise.all(this.#keepers)
  }

  /** Something befalls one of them, the web, or the truth. */
  async trouble(): Promise<void> {
    const { world, oracle, web } = this.#site
    const { random } = world
    const mirror = random.pick(this.#all)
    switch (random.below(6)) {
      case 0:
      case 1:
        oracle.saw('crashes of mirrors')
        if (random.oneIn(4)) mirror.process?.crash()
        else mirror.process?.doom(1 + random.below(40))
        break
      case 2:
        mirror.database.weather = random.pick<Weather>(['rough', 'rough', 'slow', 'down'])
        break
      case 3:
        mirror.database.weather = 'calm'
        break
      case 4:
        web?.cut(mirror.name, random.pick(mirror.upstreams))
        oracle.saw('partitions')
        break
      default:
        web?.mend()
    }
    if (this.#plants && random.oneIn(4)) await plant(this.#site)
  }

  /** Everything passes, every database answers. */
  calm(): void {
    this.#site.web?.mend()
    for (const { database, process } of this.#all) {
      database.weather = 'calm'
      process?.crash()
    }
  }

  /** Waits, in peace, until each has come as far as it can. */
  async settle(): Promise<void> {
    const { world } = this.#site
    const oracle: Oracle = this.#site.oracle
    for (const end = world.now + SETTLE_MS; ; ) {
      const late = this.#all.find((mirror) => !this.#isSettled(mirror))
      if (late === undefined) break
      oracle.check(world.now < end, `${late.name} of ${late.upstreams.join(', ')} does not reach ${this.#goal(late)} entries: it has ${late.publication?.size} published of ${late.head?.size}; ${late.process?.standing.faults().join('; ')}`)
      await world.sleep(1_000)
    }
    for (const { haltedAt, head } of this.#all) {
      if (haltedAt === null && head?.size === oracle.size) oracle.saw('mirrors at the head')
    }
  }

  /** Looks at what is new. */
  async look(): Promise<void> {
    for (const mirror of this.#all) await this.#lookAt(mirror)
  }

  /** Looks at everything, from the beginning. */
  async lookWhole(): Promise<void> {
    const { keys, database } = this.#site
    const oracle: Oracle = this.#site.oracle
    await this.look()
    for (const mirror of this.#all) {
      const { store } = mirror.database
      await checkLog(store, keys, recall)
      if (mirror.map.head !== null) await this.#site.map?.oracle.lookAtRows(store)
      const { size = 0 } = mirror.head ?? {}
      const rows = await store.entries(0, size)
      const branch = await this.#branchOf(mirror)
      const truth = await database.store.entries(0, size)
      const same = rows.every((row, i) => (branch === null ? row.cid === truth[i]?.cid && row.signer === truth[i].signer && row.rejected === truth[i].rejected : (row.rejected !== null) === branch.broken.has(i)))
      oracle.check(same, `${mirror.name} judges an entry otherwise`)
      if (branch === null && size === oracle.size) oracle.check(rows.every((row, i) => row.nullified === truth[i]?.nullified), `${mirror.name} holds the log and another state`)
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  // What has not changed has been seen.
  async #lookAt(mirror: Watched): Promise<void> {
    const oracle: Oracle = this.#site.oracle
    const { store } = mirror.database
    const { name, process } = mirror
    const before = mirror.head?.size ?? 0
    const head = await store.head()
    oracle.check(head !== null, `the log of ${name} is gone`)
    if (head !== mirror.head) {
      oracle.check(head.size >= before, `${name} went back from ${before} to ${head.size}`)
      mirror.head = head
      if (head.size > before) await this.#lookAtEntries(mirror, before)
    }
    const publication = await store.publication()
    if (publication !== null && publication !== mirror.publication) {
      oracle.check(publication.size >= (mirror.publication?.size ?? 0), `${name} published ${publication.size} after ${mirror.publication?.size}`)
      mirror.publication = publication
      await this.#lookAtPublication(mirror, publication)
    }
    await this.#lookAtMap(mirror)
    if (process === null || process.life.ended) return
    const { tip, standing } = process
    oracle.check(tip.durable <= head.size && tip.published <= (publication?.size ?? 0), `${name} believes in more than it holds`)
    oracle.check(standing.report().verifiedSize <= head.size, `${name} says that it has verified more than it holds`)
    if (standing.halted !== null) this.#lookAtHalt(mirror, process, head.size)
  }

  async #lookAtEntries(mirror: Watched, from: number): Promise<void> {
    const oracle: Oracle = this.#site.oracle
    const { name, database: { store }, head } = mirror
    if (head === null) return
    oracle.saw('mirrors advanced')
    const rows = await store.entries(from, head.size)
    const branch = await this.#branchOf(mirror)
    if (branch === null) {
      const truth = await this.#site.database.store.leaves(from, head.size)
      oracle.check(oracle.covers(head.size, head.root), `${name} holds ${head.size} entries that the log has not signed`)
      oracle.check(rows.length === truth.length && rows.every(({ entry }, i) => equal(entry, truth[i])), `${name} holds other entries than the log`)
    } else {
      oracle.saw('branches followed')
    }
    const broken = branch?.broken ?? oracle.planted
    for (const { index, rejected } of rows) oracle.check((rejected !== null) === broken.has(index), `${name} ${rejected === null ? 'accepts' : 'rejects'} entry ${index}`)
    if (branch !== null) return
    for (const did of new Set(rows.filter(({ rejected }) => rejected === null).map((row) => row.did))) await oracle.compare(store, did, head.size)
  }

  async #lookAtPublication(mirror: Watched, { size, root, note }: Publication): Promise<void> {
    const oracle: Oracle = this.#site.oracle
    const { name, head } = mirror
    mirror.cosigns?.shown(name, note)
    oracle.check(size <= (head?.size ?? 0), `${name} publishes ${size} entries and holds ${head?.size}`)
    const isBranch = this.#liar.branches.some((branch) => parseNote(branch.note).text === parseNote(note).text && equal(rootOf(branch.leaves), root))
    oracle.check(isBranch || (oracle.hasSigned(note) && oracle.covers(size, root)), `${name} publishes a checkpoint that the log has not signed: ${note}`)
    const leaves = await mirror.database.store.leaves(0, size)
    oracle.check(equal(rootOf(leaves), root), `${name} publishes a tree that it does not hold`)
  }

  // It holds, shows and serves what the directory's map is, or nothing; and accuses it only where somebody has misled it.
  async #lookAtMap({ name, process, cosigns, map: before, database: { store } }: Watched): Promise<void> {
    const oracle: Oracle = this.#site.oracle
    const map = this.#site.map?.oracle ?? null
    const [head, publication, version] = [await store.map.head(), await store.map.publication(), await store.map.version()]
    if (map === null || head === null) {
      oracle.check(head === null, `${name} has a map, and the log has none`)
      return
    }
    if (head !== before.head) {
      oracle.check(head.size >= (before.head?.size ?? 0), `${name} has forgotten leaves of the map`)
      const leaves = await store.map.leaves(0, head.size)
      oracle.check(leaves.length === head.size && leaves.every((leaf, i) => equal(leaf, map.bytes[i])), `${name} holds other leaves than the map's log`)
      oracle.saw('maps compared')
    }
    if (publication !== null && publication !== before.publication) {
      cosigns?.shown(name, publication.note)
      oracle.check(publication.size <= head.size && map.hasSigned(publication.note), `${name} publishes a checkpoint of the map that was not signed: ${publication.note}`)
    }
    if (version !== null && version !== before.version) oracle.check(equal(version.root, UNMADE_ROOT) || equal(version.root, map.rootAt(version.size)), `${name} holds another map of ${version.size} entries`)
    Object.assign(before, { head, publication, version })
    if (process === null || process.life.ended) return
    map.shows(name, process.map.shown)
    const wrong = process.wrongMap()
    // Where the log has two trees, it may hold the one that the map is not of.
    const isOfAnother = this.contradicted && wrong?.includes('names another tree') === true
    oracle.check(wrong === null || isOfAnother || this.#liar.misled.has(name), `${name} accuses an honest map: ${wrong}`)
  }

  // Whoever sees that the log contradicts what it holds stops, unless something befalls it meanwhile.
  async #shown(to: string, note: Uint8Array): Promise<void> {
    const { world, oracle } = this.#site
    const mirror = this.#all.find(({ name }) => name === to)
    const { process, head, database } = mirror ?? {}
    if (mirror === undefined || process === null || process === undefined || database === undefined) return
    const { size, root } = parseCheckpoint(parseNote(new TextDecoder().decode(note)).text)
    if (size > (head?.size ?? 0) || equal(rootOf(await database.store.leaves(0, size)), root)) return
    world.in(HALT_MS, () => {
      if (mirror.process !== process || process.life.ended || database.calmForMs < 2 * HALT_MS) return
      oracle.saw('contradictions seen')
      if (process.standing.halted === null) oracle.violation ??= new Violation(`${to} was shown a contradicting checkpoint of ${size} entries and goes on`)
    })
  }

  // Only what contradicts the log stops a mirror, and then nothing more is taken.
  #lookAtHalt(mirror: Watched, process: MirrorProcess, size: number): void {
    const oracle: Oracle = this.#site.oracle
    const { name, folder, haltedAt } = mirror
    const { now } = this.#site.world
    if (haltedAt !== null && (haltedAt.evidence || haltedAt.process === process)) {
      // What was being written may still arrive: its tree was signed, too.
      if (now < haltedAt.now + LAST_WRITE_MS) mirror.haltedAt = { ...haltedAt, size }
      else oracle.check(size === haltedAt.size, `${name} has stopped at ${haltedAt.size} entries and holds ${size}`)
      return
    }
    oracle.check(this.#liar.contradicts, `${name} has stopped, and the log has not contradicted itself: ${process.standing.halted}`)
    // What is about the map is no reason for this.
    const evidence = filesIn(join(folder, 'evidence')).filter((bytes) => !Buffer.from(bytes).includes('/map\n'))
    for (const bytes of evidence) {
      const { kind } = verifyEvidence(bytes, this.#site.keys).evidence
      oracle.check(kind !== 'broken-rule', `${name} has evidence of something else`)
      oracle.saw(`evidence ${kind}`)
    }
    oracle.check(evidence.length > 0 || filesIn(join(folder, 'alarms')).length > 0, `${name} has stopped and kept nothing of why`)
    oracle.saw(evidence.length > 0 ? 'halts with evidence' : 'halts with an alarm')
    mirror.haltedAt = { size, now, process, evidence: evidence.length > 0 }
  }

  // The tree beside the log that a mirror has followed; null where it holds the log.
  async #branchOf({ database, head, name }: Watched): Promise<Branch | null> {
    const oracle: Oracle = this.#site.oracle
    if (head === null || oracle.covers(head.size, head.root)) return null
    const leaves = await database.store.leaves(0, head.size)
    const branch = this.#liar.branches.find((branch) => head.size <= branch.size && leaves.every((leaf, i) => equal(leaf, branch.leaves[i])))
    oracle.check(branch !== undefined && equal(rootOf(leaves), head.root), `${name} holds ${head.size} entries of a tree that nobody has signed`)
    return branch
  }

  #isSettled(mirror: Watched): boolean {
    const { process, publication, head } = mirror
    if (process === null || process.life.ended) return false
    if (process.standing.halted !== null) return true
    const goal = this.#goal(mirror)
    return publication?.size === goal && head?.size === goal
  }

  #goal({ upstreams }: Mirror): number {
    return Math.max(...upstreams.map((host) => (host.startsWith('mirror') ? (this.#find(host).publication?.size ?? 0) : this.#site.oracle.published)))
  }

  #find(host: string): Watched {
    const found = this.#all.find(({ name }) => name === host)
    if (found === undefined) throw new Violation(`there is no ${host}`)
    return found
  }

  // One lie after the other, all day.
  async #lie(): Promise<void> {
    const { world } = this.#site
    while (this.#open) {
      await this.#liar.turn()
      await world.sleep(1_000 + world.random.below(8_000), this.#wake.signal)
    }
    this.#liar.honest()
  }

  async #keep(mirror: Watched): Promise<void> {
    const { world, oracle } = this.#site
    const { random } = world
    while (this.#open) {
      const starting = startMirrorProcess(this.#site, mirror)
      const process = await Promise.race([starting, world.sleep(60_000)]).catch(() => undefined)
      if (process === undefined) {
        starting.then((late) => late.crash()).catch(() => undefined)
        await world.sleep(random.below(3_000), this.#wake.signal)
        continue
      }
      mirror.process = process
      oracle.saw('starts of mirrors')
      await Promise.race([world.sleep(20_000 + random.below(200_000), this.#wake.signal), process.life.race(new Promise<never>(() => undefined)).catch(() => undefined)])
      if (!process.life.ended) await process.life.race(process.stop()).catch(() => undefined)
      process.crash()
      mirror.process = null
      if (this.#open) await world.sleep(random.below(5_000), this.#wake.signal)
    }
  }
}

function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  return naiveRoot(leaves.map(naiveLeafHash))
}

function filesIn(folder: string): Uint8Array[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => readFileSync(join(folder, name))) : []
}

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0
}
