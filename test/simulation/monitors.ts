// Owners who have their identities watched: a thief changes one, the monitor tells, and the owner does what it printed.

import { tellChanges } from '../../src/cli/tell-changes.ts'
import { follow } from '../../src/client/follow.ts'
import { LogContradictionError } from '../../src/client/log-memory.ts'
import { memoryCursor, type CursorStore } from '../../src/client/cursor.ts'
import { Life } from '../support/interfere.ts'
import { make, OWNER_KEY, recall, type Made } from './catalog.ts'
import type { Site } from './directory-process.ts'
import { inEffect, type Placed } from './model.ts'
import { Violation, type Oracle } from './oracle.ts'
import { post, type Town } from './people.ts'
import { testKey } from '../support/identities.ts'
import type { World } from './world.ts'

/** What a monitor promises: to tell what can be seen within this. */
const TOLD_MS = 5_000
/** Owners at a time. */
const AT_ONCE = 3
/** Longest wait of a follower between two attempts, and what an attempt takes. */
const AGAIN_MS = 12_000
/** How long an owner waits for the news after everybody has gone home. */
const PATIENCE_MS = 120_000

/** What was told of one entry. */
interface Report {
  readonly index: number
  readonly cid: string
  readonly lines: readonly string[]
  /** Which process told it. */
  readonly process: number
}

/** One identity that is watched. */
interface Watched {
  readonly did: string
  readonly name: string
  readonly hosts: readonly string[]
  readonly complete: boolean
  readonly cursor: CursorStore
  readonly reports: Report[]
  /** When each entry of it could be seen at one of the hosts first. */
  readonly seen: Map<number, number>
  /** Entries before this one are older than the watch; null while nothing was looked at. */
  from: number | null
  processes: number
  startedAt: number
  blind: boolean
  life: Life | null
  /** The log has contradicted itself before its eyes: it has said so, and watches no more. */
  over: boolean
  open: boolean
}

/** What is known of servers. */
export interface Servers {
  /** Entries that everybody who serves under a name has published. */
  published(host: string): number
  /** For how long their database has been calm, milliseconds. */
  calmForMs(host: string): number
  /** Nothing reaches a mirror any more, and everybody reaches it. */
  cutOff(host: string): void
  /** Whether the log's key has signed what contradicts the log. */
  contradicted(): boolean
}

/** Everybody who watches. */
export class Monitors {
  readonly #site: Site
  readonly #servers: Servers
  readonly #all: Watched[] = []
  #names = 0

  constructor(site: Site, servers: Servers) {
    this.#site = site
    this.#servers = servers
  }

  /** Owners, a few at a time, until the town is not busy any more. */
  async guard(town: Town): Promise<void> {
    const { random } = town.world
    const guard = async (): Promise<void> => {
      while (town.busy) {
        await town.world.sleep(random.below(8_000))
        await this.#guard1(town)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, guard))
  }

  /** Looks whether everything that can be seen was told. */
  look(): void {
    const { now } = this.#site.world
    for (const watched of this.#all) {
      const { did, hosts, from, seen, over } = watched
      if (from === null || over) continue
      const shown = Math.max(...hosts.map((host) => this.#servers.published(host)))
      for (const { index, cid } of this.#site.oracle.history(did)) {
        if (index < from || index >= shown) continue
        if (!seen.has(index)) seen.set(index, now)
        if (!watched.reports.some((report) => report.cid === cid)) this.#late(watched, index, seen.get(index) ?? now)
      }
    }
  }

  #late({ name, hosts, did, blind, startedAt, life, reports }: Watched, index: number, since: number): void {
    const { world, web } = this.#site
    const oracle: Oracle = this.#site.oracle
    // It was told of an entry that breaks a rule of the log's time as of a change: by that history what truly came then breaks a rule.
    if (reports.some((report) => oracle.planted.has(report.index))) return
    const weather = web?.weather(name)
    if (weather === undefined || blind || weather.dead > 0 || life === null) return
    const calmForMs = Math.min(...hosts.map((host) => this.#servers.calmForMs(host)))
    const calm = Math.max(since, world.now - calmForMs + AGAIN_MS, weather.lateUntil, weather.brokenAt + AGAIN_MS, startedAt + AGAIN_MS)
    oracle.check(world.now <= calm + TOLD_MS, `entry ${index} of ${did} can be seen at ${hosts.join(' or ')} since ${world.now - since} ms, and its monitor has not told it`)
  }

  async #guard1(town: Town): Promise<void> {
    const { world } = town
    const oracle: Oracle = town.oracle
    const { random } = world
    const genesis = make({ prev: null, by: OWNER_KEY, rotation: [OWNER_KEY, 2, 5], handle: `guarded ${this.#names++}` })
    const did = genesis.claim.begins
    await post(town, did, genesis)
    if (oracle.history(did).length === 0) return
    const watched = this.#watch(did)
    const until = (holds: () => boolean): Promise<boolean> => this.#until(town, () => holds() || watched.over)
    if ((await until(() => watched.from !== null)) && town.busy) {
      const [first = ''] = watched.hosts
      if (first.startsWith('mirror') && random.oneIn(2)) this.#servers.cutOff(first)
      await world.sleep(random.below(8_000))
      const theft = await this.#steal(town, did, genesis)
      if (theft !== null && (await until(() => watched.reports.some(({ cid }) => cid === theft.cid)))) {
        const report = watched.reports.find(({ cid }) => cid === theft.cid)
        if (report === undefined) oracle.saw('thefts before contradictions')
        else await this.#undo(town, did, theft, report.lines)
      } else if (theft !== null) oracle.saw('thefts untold at night')
    }
    this.#end(watched)
  }

  // The weakest key, or the one above it, takes the identity away, and perhaps goes on. Resolves with the first theft as it stands in the log; null where there was none.
  async #steal(town: Town, did: string, genesis: Made): Promise<Placed | null> {
    const { random } = town.world
    const by = random.pick([5, 5, 2])
    const theft = make({ prev: genesis.operation.cid, by, rotation: random.pick([[by], [6, 7], [OWNER_KEY, by]]), handle: 'thief' })
    const reply = await post(town, did, theft)
    const placed = town.oracle.history(did).find(({ cid }) => cid === theft.operation.cid)
    if (placed === undefined) return null
    if (reply !== null && random.oneIn(3)) {
      const [next] = theft.claim.rotationKeys.map((key) => [6, by].find((n) => testKey(n).did === key)).filter((n) => n !== undefined)
      if (next !== undefined) await post(town, did, make({ prev: theft.operation.cid, by: next, rotation: [next], handle: 'thief again' }))
    }
    town.oracle.saw('thefts watched')
    return placed
  }

  // What was printed: which keys can, and the command that does it.
  async #undo(town: Town, did: string, { index: theft }: Placed, lines: readonly string[]): Promise<void> {
    const oracle: Oracle = town.oracle
    const text = lines.join('\n')
    const [, of = '', from = ''] = /stele did recover (\S+) --from (\S+) /.exec(text) ?? []
    const keys = [...text.matchAll(/^ {4}\d+ {2}(did:key:\S+)$/gm)].map(([, key]) => key)
    const [strongest] = keys
    oracle.check(of === did && strongest === testKey(OWNER_KEY).did, `a monitor told of entry ${theft} of ${did} and not how to undo it:\n${text}`)
    const recovery = make({ prev: from, by: OWNER_KEY, rotation: [OWNER_KEY, 2], handle: 'owner' })
    for (let tries = 0; tries < 5; tries++) {
      const reply = await post(town, did, recovery, true)
      if (reply?.outcome === 'accepted') {
        const tower = inEffect(oracle.history(did))
        oracle.check(tower.some(({ cid }) => cid === recovery.operation.cid) && tower.every(({ index }) => index !== theft), `the command that was printed has not undone entry ${theft} of ${did}:\n${text}`)
        oracle.saw('thefts told and undone')
        return
      }
      oracle.check(reply?.outcome === 'refused' && reply.code === 'STALE_PREV', `the command that was printed is refused: ${JSON.stringify(reply)}\n${text}`)
    }
  }

  #watch(did: string): Watched {
    const { world: { random } } = this.#site
    const cursor = memoryCursor()
    const watched: Watched = {
      did, name: `monitor-${did}`, hosts: random.pick([['directory'], ['mirror-0', 'directory'], ['mirror-1', 'directory'], ['mirror-2', 'mirror-0', 'directory']]),
      complete: random.oneIn(2), cursor, reports: [], seen: new Map(), from: null, processes: 0, startedAt: 0, blind: false, life: null, over: false, open: true,
    }
    this.#all.push(watched)
    void this.#keep(watched)
    return watched
  }

  #end(watched: Watched): void {
    watched.open = false
    watched.life?.end()
    this.#all.splice(this.#all.indexOf(watched), 1)
  }

  // A process after the other, each of which goes on where the one before was.
  async #keep(watched: Watched): Promise<void> {
    const { world, oracle } = this.#site
    const { random } = world
    while (watched.open && !watched.over) {
      const life = new Life()
      watched.life = life
      const stop = new AbortController()
      this.#site.ends.push(stop)
      const ended = this.#run(watched, life, stop.signal)
      await Promise.race([world.sleep(10_000 + random.below(100_000)), ended, life.race(new Promise<never>(() => undefined)).catch(() => undefined)])
      if (life.ended || random.oneIn(2)) {
        stop.abort(new Error('the monitor stops'))
        await Promise.race([ended, world.sleep(1_000)])
      } else oracle.saw('crashes of monitors')
      life.end()
      watched.life = null
      await world.sleep(random.below(4_000))
    }
  }

  async #run(watched: Watched, life: Life, signal: AbortSignal): Promise<void> {
    const { world, web, keys } = this.#site
    const oracle: Oracle = this.#site.oracle
    const { did, name, hosts, complete } = watched
    if (web === null) throw new Violation('a monitor needs somebody to read from')
    const process = ++watched.processes
    watched.startedAt = world.now
    watched.blind = false
    const clock = clockOf(world, life)
    const cursor: CursorStore = {
      read: () => watched.cursor.read(),
      async write(text) {
        await stumble()
        await watched.cursor.write(text)
        watched.from ??= nextOf(text)
        await stumble()
      },
    }
    // Between what is told and what is noted it may end, too.
    const stumble = async (): Promise<void> => {
      if (world.random.oneIn(30)) life.end()
      await life.go()
    }
    const options = {
      ...web.reach(name, life), urls: hosts.map((host) => `http://${host}`), keys, cursor, clock, complete, signal, from: 'now' as const, filter: { dids: [did] }, runEntries: 1,
      random: () => world.random.below(1_000) / 1_000,
      verifyAnswers: (questions: Parameters<NonNullable<Parameters<typeof follow>[0]['verifyAnswers']>>[0]) => Promise.resolve(questions.map((question) => (question === null ? undefined : recall(question)))),
    }
    try {
      await tellChanges({
        source: (looking) => follow({ ...options, ...looking }),
        origin: keys[0]?.name ?? '',
        commandFor: (of, undo) => `stele did recover ${of} --from ${undo.from} --key FILE --yes`,
        tell: async ({ lines, facts }) => {
          await stumble()
          const { STELE_EVENT: event = '', STELE_SEQ: seq = '0', STELE_CID: cid = '' } = facts
          oracle.saw(`monitors told ${event}`)
          watched.blind = event === 'blind' || (event !== 'sighted' && watched.blind)
          // What happened meanwhile comes now, as after a start.
          if (event === 'sighted') watched.startedAt = world.now
          if (event === 'change') this.#told(watched, { index: Number(seq) - 1, cid, lines, process })
        },
        clock,
      })
    } catch (error) {
      if (life.ended || signal.aborted) return
      if (error instanceof LogContradictionError) {
        watched.over = true
        oracle.saw('monitors saw a contradiction')
        if (!this.#servers.contradicted()) oracle.violation ??= new Violation(`${name} says that the log contradicts itself`)
      } else oracle.violation ??= new Violation(`${name} has failed: ${String(error)}`)
    }
  }

  // Once; again only where the process has ended before it could note that it was told.
  #told({ name, did, reports }: Watched, report: Report): void {
    const oracle: Oracle = this.#site.oracle
    const before = reports.filter(({ index }) => index === report.index)
    // An entry that breaks a rule of the log's time passes where an identity is judged alone, and the log's key may have signed another log, too.
    if (oracle.planted.has(report.index)) oracle.saw('planted entries told as changes')
    else oracle.check(this.#servers.contradicted() || oracle.history(did).some(({ index, cid }) => index === report.index && cid === report.cid), `${name} tells of entry ${report.index}, which is not of ${did}`)
    oracle.check(before.every(({ process }) => process !== report.process), `${name} has told entry ${report.index} twice`)
    if (before.length > 0) oracle.saw('told again after a crash')
    reports.push(report)
  }

  // Whether it came to hold, while everybody was at work or soon after.
  async #until(town: Town, holds: () => boolean): Promise<boolean> {
    for (let waited = 0; waited < PATIENCE_MS; waited += town.busy ? 0 : 500) {
      if (holds()) return true
      await town.world.sleep(500)
    }
    return false
  }
}

function clockOf(world: World, life: Life): { now(): number; timeOfDay(): number; sleep(ms: number, signal?: AbortSignal): Promise<void> } {
  return {
    now: () => world.now,
    timeOfDay: () => world.now,
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      await world.sleep(Math.ceil(ms), signal)
      await life.go()
      signal?.throwIfAborted()
    },
  }
}

function nextOf(cursor: string): number {
  const { next } = JSON.parse(cursor) as { readonly next: number }
  return next
}
