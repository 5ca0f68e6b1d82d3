// One process of a simulated mirror, composed of the real parts: following, replica, upstreams, standing and the folder of evidence.

import { EvidenceFolder } from '../../mirror/evidence-folder.ts'
import { Following } from '../../mirror/follow.ts'
import { MapFollowing, type MapSource } from '../../mirror/follow-map.ts'
import { Replica } from '../../mirror/replica.ts'
import { Standing } from '../../mirror/standing.ts'
import { Upstreams, type Reach } from '../../mirror/upstreams.ts'
import { MismatchError } from '../../src/client/mismatch.ts'
import { httpTileReader, NotServedError } from '../../src/client/tile-reader.ts'
import { alarmPart } from '../../src/core/alarm.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { MIRROR_GUARD } from '../../src/log/open-log.ts'
import type { Clock } from '../../src/log/ports.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { Tip } from '../../src/storage/tip.ts'
import { Life } from '../support/interfere.ts'
import { recall } from './catalog.ts'
import type { Database } from './database.ts'
import type { Site } from './directory-process.ts'
import { Violation } from './oracle.ts'

/** A mirror, whichever process is it: what survives one. */
export interface Mirror {
  readonly name: string
  /** Hosts. */
  readonly upstreams: readonly string[]
  readonly database: Database
  /** A real folder: of evidence and alarms. */
  readonly folder: string
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

/** Starts a process. Throws incidents of a rough database. */
export async function startMirrorProcess(site: Site, { name, upstreams: hosts, database, folder }: Mirror): Promise<MirrorProcess> {
  const { world, oracle, keys, web } = site
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
  }

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
      store, replica, upstreams, standing, folder: kept, cosigner: null, keys, clock,
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
  const sources = (): MapSource[] => upstreams.ordered().map(({ url }) => sourceOf(url, stop.signal, upstreams.reach))
  const mapFollowing = new MapFollowing(
    {
      store, tip, held, origin: head.origin, guardId: MIRROR_GUARD, keys: null, logKeys: () => following.keys, sources, folder: kept, cosigner: null, clock, say: () => undefined,
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

function sourceOf(url: string, signal: AbortSignal, reach: Reach): MapSource {
  return {
    url,
    reader: httpTileReader(`${url}/map`, { attempts: 1, timeoutMs: 10_000, signal, ...reach }),
    async keys() {
      const response = await (reach.fetch ?? fetch)(`${url}/map/vkey`)
      if (response.status !== 200) throw new NotServedError(url)
      return (await response.text()).trimEnd().split('\n').map(parseVerifierKey)
    },
    next: () => Promise.reject(new NotServedError(url)),
  }
}
