// One process of a simulated mirror, composed of the real parts: following, replica, upstreams, standing and the folder of evidence.

import { openCosigner, type MirrorCosigner, type Signed } from '../../mirror/cosigner.ts'
import { EvidenceFolder } from '../../mirror/evidence-folder.ts'
import { tilesOf } from '../../mirror/checkpoints.ts'
import { Following } from '../../mirror/follow.ts'
import { MapFollowing } from '../../mirror/follow-map.ts'
import { mapSource, type MapSource } from '../../mirror/map-source.ts'
import { Replica } from '../../mirror/replica.ts'
import { Standing } from '../../mirror/standing.ts'
import { Upstreams } from '../../mirror/upstreams.ts'
import { MismatchError } from '../../src/client/mismatch.ts'
import { alarmPart } from '../../src/core/alarm.ts'
import { parseDecimal } from '../../src/core/encoding/text.ts'
import { mapOrigin } from '../../src/core/map/map-leaf.ts'
import { MIRROR_GUARD } from '../../src/log/open-log.ts'
import type { Clock } from '../../src/log/ports.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { Tip } from '../../src/storage/tip.ts'
import { WitnessRefusal } from '../../src/witness/refusal.ts'
import { Life } from '../support/interfere.ts'
import { recall } from './catalog.ts'
import type { CosignOracle, CosignReply } from './cosignatures.ts'
import type { Database } from './database.ts'
import type { Site } from './directory-process.ts'
import { Violation } from './oracle.ts'

/** A mirror, whichever process is it: what survives one. */
export interface Mirror {
  readonly name: string
  /** Hosts. */
  readonly upstreams: readonly string[]
  readonly database: Database
  /** A real folder: of evidence, alarms and the cosigner. */
  readonly folder: string
  /** Who looks at what it cosigns; null where it does not. */
  readonly cosigns: CosignOracle | null
}

/** A process at work. */
export interface MirrorProcess {
  readonly life: Life
  readonly tip: Tip
  readonly standing: Standing
  readonly map: HeldMap
  /** Why it follows the map no longer; null while it does. */
  wrongMap(): string | null
  /** Ends it at once, wherever it is. */
  crash(): void
  /** Ends it when so many calls of its store have been made or answered. */
  doom(calls: number): void
  /** Ends it in good order. */
  stop(): Promise<void>
}

/** How long a checkpoint that is to be cosigned waits until its leaves are derived: longer than that takes where all is well. */
const COSIGN_WAIT_MS = 1_000

/** Starts a process. Throws incidents of a rough database. */
export async function startMirrorProcess(site: Site, { name, upstreams: hosts, database, folder, cosigns }: Mirror): Promise<MirrorProcess> {
  const { world, network, oracle, keys, web } = site
  if (web === null) throw new Violation('a mirror needs somebody to read from')
  const life = new Life()
  const bornAt = world.now
  const clock: Clock = { now: () => world.now - bornAt, timeOfDay: () => world.now, sleep: (ms, signal) => world.sleep(Math.ceil(ms), signal).then(() => life.go()) }
  let callsLeft = Infinity
  const onCall = (): void => {
    if (--callsLeft === 0) crash()
  }
  function crash(): void {
    life.end()
    web?.stop(name)
    network.detach(`cosigner ${name}`)
    cosigner?.[Symbol.dispose]()
  }
  let cosigner: MirrorCosigner | null = null

  const store = database.connect(life, { onCall, onAppend: () => undefined })
  const head = await store.head()
  if (head === null) throw new Violation('the log of a mirror is gone')
  const publication = await store.publication()
  const tip = new Tip({ durable: head.size, published: publication?.size ?? 0 })
  const stop = new AbortController()
  site.ends.push(stop)
  const kept = new EvidenceFolder(folder, head.origin, () => world.now)
  const upstreams = new Upstreams(
    hosts.map((host) => `http://${host}`),
    clock,
    stop.signal,
    ({ url, standing: now, words }, error) => {
      oracle.saw(`upstreams ${now}`)
      if (now === 'lying') kept.keepAlarm(`${url}: ${words}`, [alarmPart('url', url), ...(error instanceof MismatchError ? error.parts : [])])
    },
    web.reach(name, life),
  )
  const standing = new Standing(clock, upstreams, head.size)
  standing.halted = kept.contradiction(keys)?.words ?? null
  cosigner = cosigns === null ? null : openCosigner({
    dataDir: folder, name, freshName: () => name, origin: head.origin, logKeys: keys, tilesOf: (origin) => tilesOf(origin === head.origin ? store : store.map), clock, clientIpHeader: null,
    log(_level, { origin }, words) {
      const made = words === 'cosigned' && typeof origin === 'string' ? cosigner?.last(origin) : undefined
      if (made !== undefined && made !== null) void cosigns.cosigned(name, made, database.store).catch((error: unknown) => (oracle.violation ??= error instanceof Violation ? error : new Violation(String(error))))
    },
  })
  for (const origin of [head.origin, mapOrigin(head.origin)]) cosigns?.started(name, origin, cosigner?.last(origin) ?? null)
  const replica = new Replica(
    {
      store, tip,
      async verify(questions) {
        if (world.random.oneIn(3)) await world.sleep(world.random.below(40))
        return questions.map((question) => (question === null ? undefined : recall(question)))
      },
      appended: () => undefined,
      rejected: (rows) => oracle.saw('entries rejected', rows.length),
      now: () => world.now,
    },
    head,
  )
  const following = new Following(
    {
      store, replica, upstreams, standing, folder: kept, cosigner, keys, clock,
      random: () => world.random.below(1_000) / 1_000,
      log: () => undefined,
      onPublished: () => Promise.resolve(oracle.saw('checkpoints reached')),
      onProgress: () => oracle.saw('bundles read'),
    },
    stop.signal,
  )
  const followed = following.run().catch((error: unknown) => {
    if (!life.ended) oracle.violation ??= new Violation(`${name} has failed: ${String(error)}`)
  })
  const held = new HeldMap(store, clock)
  const reach = web.reach(name, life)
  const sources = (): MapSource[] => upstreams.ordered().map(({ url }) => mapSource(url, stop.signal, reach))
  const mapFollowing = new MapFollowing(
    {
      store, tip, held, origin: head.origin, guardId: MIRROR_GUARD, keys: null, logKeys: () => following.keys, sources, folder: kept, cosigner, clock, say: () => undefined,
      log(level) {
        if (level === 'error' && !life.ended) oracle.saw('wrong maps stopped at')
      },
    },
    stop.signal,
  )
  const mapFollowed = mapFollowing.run().catch((error: unknown) => {
    if (!life.ended) oracle.violation ??= new Violation(`${name} has failed at the map: ${String(error)}`)
  })
  web.serve(name, { store, tip, life, isMirror: true })
  if (cosigner !== null) network.attach(`cosigner ${name}`, (message) => cosign(String(message)))

  // As the counter does, but that time passes here by the simulated clock, and who has to wait waits less.
  async function cosign(body: string): Promise<CosignReply> {
    const late = new AbortController()
    world.in(COSIGN_WAIT_MS, () => late.abort())
    const verifying = {
      log: { reaches: (signed: Signed) => following.reaches(signed, late.signal), get halted() { return standing.halted !== null } },
      map: { reaches: (signed: Signed) => mapFollowing.reaches(signed, late.signal), get halted() { return mapFollowing.halted !== null } },
    }
    try {
      const lines = (await cosigner?.addCheckpoint(body, verifying)) ?? ''
      cosigns?.shown(name, lines)
      return { lines }
    } catch (error) {
      await life.go()
      if (error instanceof WitnessRefusal) return { code: error.code, size: error.code === 'STALE' ? parseDecimal(error.parts.body?.trim() ?? '') : 0 }
      if (String(error).includes('assertion')) oracle.violation ??= new Violation(`the cosigner of ${name} has failed: ${String(error)}`)
      return { code: 'incident', size: 0 }
    }
  }
  return {
    life,
    tip,
    standing,
    map: held,
    wrongMap: () => mapFollowing.halted,
    crash,
    doom: (calls) => (callsLeft = calls),
    async stop() {
      stop.abort(new Error('the mirror stops'))
      await Promise.all([followed, mapFollowed])
      crash()
    },
  }
}
