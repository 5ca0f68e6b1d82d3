// What a verifying client does in a benchmark, in Node and in a browser.

import { agreement, createResolver, type Level, type Resolver } from '../src/client/index.ts'
import { parsePolicy } from '../src/core/index.ts'

/** What is asked. */
export interface VerifiedLoad {
  readonly servers: readonly string[]
  readonly policy: string
  readonly dids: readonly string[]
  readonly level: Level
  readonly seconds: number
}

/** Resolves identities one after the other, each in its turn, and gives how many a second. */
export async function resolveForSeconds({ dids, level, seconds, ...load }: VerifiedLoad): Promise<number> {
  const resolver = resolverOf(load)
  await resolveAll(resolver, dids.slice(0, 20), level)
  const since = performance.now()
  let done = 0
  for (; performance.now() - since < seconds * 1000; done++) await resolver.resolve(dids[done % dids.length] ?? '', { require: level })
  return (done / (performance.now() - since)) * 1000
}

/** Resolves these identities. */
export async function resolveAll(resolver: Resolver, dids: readonly string[], level: Level): Promise<void> {
  for (const did of dids) await resolver.resolve(did, { require: level })
}

/** A resolver that knows nothing yet. */
export function resolverOf({ servers, policy }: Pick<VerifiedLoad, 'servers' | 'policy'>, request: { readonly fetch?: typeof fetch } = {}): Resolver {
  return createResolver({ servers, policy: parsePolicy(policy), latest: [agreement(2)], request })
}
