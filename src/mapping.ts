// The map of a log beside its signer: keys and guard of its own, the same policy and witnesses. Whatever befalls it, the log goes on.
// spec/map.md#storage

import type { Config } from './config.ts'
import { mapOrigin } from './core/map/map-leaf.ts'
import { KEY_TYPES } from './core/tlog/note.ts'
import type { Policy } from './core/tlog/policy.ts'
import { openGuard } from './log/guard.ts'
import type { LogLine } from './log/ports.ts'
import { HeldMap } from './map/held-map.ts'
import { ReadMap } from './map/read-map.ts'
import { runMap } from './map/run-map.ts'
import { newLog, openWitnesses, type OpenedLog, type Signer } from './signing.ts'
import { mapFiles, readKeys } from './state-files.ts'
import type { Store } from './storage/store.ts'
import { systemClock } from './system.ts'

/** A map that is served. */
export interface KeptMap {
  /** As `HeldMap.prove`. */
  prove(did: string): Promise<string | null>
  /** Entries of the log that the version at hand is derived from, null before the first; versions that are published; why no new one comes, in words. */
  standing(): { readonly size: number | null; readonly leaves: number; readonly fault: string | null }
}

/** Writes the map of a log that this process signs, until `stack` ends. Never throws: what keeps it from its work is said, and the log goes on. */
export function keepMap(stack: AsyncDisposableStack, store: Store, config: Config, { tip, origin }: Pick<OpenedLog, 'tip' | 'origin'>, log: LogLine): KeptMap {
  const held = new HeldMap(store, systemClock)
  const stop = new AbortController()
  let fault: (() => string | null) | null = null
  const kept = (async () => {
    const { keys, guard } = await openMapSigner(store, config, origin)
    using _guard = guard
    const witnesses = openWitnesses(store.map, config, guard, keys, log, policyOfMap)
    fault = () => witnesses?.faults().join('; ') || null
    try {
      const { mapIntervalMs: intervalMs, checkpointIntervalMs } = config
      await runMap({ store, tip, held, guard, keys, witnesses, intervalMs, checkpointIntervalMs, clock: systemClock, log }, stop.signal)
    } finally {
      await witnesses?.stop()
    }
  })().catch((error: unknown) => {
    const words = error instanceof Error ? error.message : String(error)
    log('error', { error }, 'the map is not written any more; the log goes on without it')
    held.show(null)
    fault = () => words
  })
  stack.defer(() => {
    stop.abort()
    return kept
  })
  return {
    prove: (did) => held.prove(did),
    standing: () => ({ size: held.shown?.leaf.size ?? null, leaves: held.shown?.leaves ?? 0, fault: fault?.() ?? null }),
  }
}

/** Serves a map that another process writes. Never throws: what keeps it from its work is said, and the log goes on. */
export function readMap(store: Store, log: LogLine): KeptMap {
  const map = new ReadMap(store, systemClock)
  map.catchUp().catch((error: unknown) => log('warn', { error }, 'the map cannot be read; it is tried again with each request'))
  return {
    prove: (did) => map.prove(did),
    standing: () => ({ size: map.shown?.leaf.size ?? null, leaves: map.shown?.leaves ?? 0, fault: null }),
  }
}

/** The policy of a log as that of its map: it may name the log, and need not name the map. */
export function policyOfMap(policy: Policy): Policy {
  return { ...policy, logs: [] }
}

async function openMapSigner(store: Store, config: Config, log: string): Promise<Signer> {
  const origin = mapOrigin(log)
  const files = mapFiles(config, log)
  const head = await store.map.head()
  if (head === null) return newLog(store.map, origin, files, [KEY_TYPES.ed25519])
  return { origin, keys: readKeys(files.keyFile, origin), guard: openGuard(files.guardFile, origin) }
}
