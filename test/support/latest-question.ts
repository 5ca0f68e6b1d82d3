// What a way to show `latest` is given beside answers, where it has no use for it.

import { memoryCheckpoints } from '../../src/client/checkpoint-store.ts'
import type { LatestQuestion } from '../../src/client/latest.ts'
import { resolveLog } from '../../src/client/resolve-log.ts'

const trust = { keys: [], policy: null, maxAgeMs: 0 }
const store = memoryCheckpoints()

/** No servers, and a log of which nothing is known. */
export const NOBODY_TO_ASK: Pick<LatestQuestion, 'servers' | 'faultOf' | 'ask' | 'known' | 'signal'> = {
  servers: [],
  faultOf: () => undefined,
  ask: () => Promise.resolve(null),
  known: { log: resolveLog(trust, store), trust, store, patienceMs: 0 },
  signal: undefined,
}
