// What a verifying client makes of servers that are not what they should be. It runs in Node and in browsers: each case gives what was seen, as
// plain data, and what should have been.

import { agreement, createResolver, followed, memoryCheckpoints, ResolveError, stateProof, webStorageCheckpoints, type Level, type ResolverOptions, type WebStorage } from '../../src/client/index.ts'
import { parseEvidence, parsePolicy, parseVerifierKey, utf8Encode, verifyEvidence } from '../../src/core/index.ts'

/** Servers by name, and what is true. */
export interface VerifiedScene {
  readonly servers: Readonly<
    Record<
      | 'honest' | 'mirror' | 'third' | 'stale' | 'face' | 'larger' | 'otherLog' | 'omitting' | 'accomplice' | 'forging' | 'unwitnessed' | 'silent'
      | 'otherMap' | 'hiding' | 'hidingWell' | 'stalling' | 'denying' | 'refusing' | 'halfDenying' | 'underived',
      string
    >
  >
  /** DIDs. */
  readonly alice: string
  readonly ended: string
  readonly nobody: string
  readonly vkey: string
  readonly mapVkey: string
  readonly policy: string
  /** With the map's key and a mirror that derives it. */
  readonly mapPolicy: string
  readonly nowMs: number
  /** Of alice: now, and before her newest operation. */
  readonly documents: { readonly newest: string; readonly early: string }
  /** Of alice, in the log. */
  readonly operations: readonly { readonly cid: string; readonly index: number }[]
}

/** What came of a resolution: `document` and what it proves, or `code`; and who was skipped and why. */
export interface Outcome {
  readonly document?: string | null
  readonly absent?: true
  readonly levels?: readonly string[]
  readonly code?: string
  readonly evidence?: string
  readonly skipped: Readonly<Record<string, string>>
}

/** One case. */
export interface VerifiedCase {
  readonly name: string
  readonly run: (scene: VerifiedScene) => Promise<unknown>
  readonly expected: (scene: VerifiedScene) => unknown
}

type Name = keyof VerifiedScene['servers']

const ALL_LEVELS = ['signed', 'included', 'witnessed', 'latest']

/** The options of a resolver that asks these servers. */
export function optionsOf({ servers, policy, nowMs }: VerifiedScene, names: readonly Name[], more: Partial<ResolverOptions> = {}): ResolverOptions {
  return {
    servers: names.map((name) => servers[name]),
    policy: parsePolicy(policy),
    latest: [agreement(2)],
    clock: { now: () => nowMs, elapsed: () => performance.now() },
    patienceMs: 300,
    request: { attempts: 1, timeoutMs: 20_000 },
    ...more,
  }
}

/** Resolves alice, or another, and tells what came of it. */
export async function outcomeOf(scene: VerifiedScene, names: readonly Name[], require: Level, more: Partial<ResolverOptions> = {}, did = scene.alice): Promise<Outcome> {
  return await outcome(scene, createResolver(optionsOf(scene, names, more)).resolve(did, { require }))
}

async function outcome(scene: VerifiedScene, work: ReturnType<ReturnType<typeof createResolver>['resolve']>): Promise<Outcome> {
  const nameOf = (url: string): string => Object.entries(scene.servers).find(([, other]) => other === url)?.[0] ?? url
  const named = (skipped: readonly { server: string; code: string }[]): Record<string, string> => Object.fromEntries(skipped.map(({ server, code }) => [nameOf(server), code]))
  try {
    const { document, absent, proved, skipped } = await work
    return { document, ...(absent ? { absent } : {}), levels: proved.map(({ level }) => level), skipped: named(skipped) }
  } catch (error) {
    if (!(error instanceof ResolveError)) throw error
    const { evidence } = error
    return { code: error.code, skipped: named(error.skipped), ...(evidence === null ? {} : { evidence: verified(scene, evidence) }) }
  }
}

function verified({ vkey, mapVkey }: VerifiedScene, evidence: string): string {
  return verifyEvidence(utf8Encode(evidence), [vkey, mapVkey].map(parseVerifierKey)).evidence.kind === parseEvidence(evidence).kind ? parseEvidence(evidence).kind : 'nothing'
}

function newest({ documents }: VerifiedScene, levels: readonly string[] = ALL_LEVELS, skipped: Outcome['skipped'] = {}): Outcome {
  return { document: documents.newest, levels, skipped }
}

const WITNESSED = ALL_LEVELS.slice(0, 3)

/** What comes of `latest` by the map of each of these servers alone, and with an honest mirror beside it. */
async function eachAlone(scene: VerifiedScene, names: readonly Name[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const name of names) outcomes.push(await outcomeOf(scene, [name], 'latest', byMap(scene)), await outcomeOf(scene, [name, 'mirror'], 'latest', byMap(scene)))
  return outcomes
}

function failingAlone(scene: VerifiedScene, codes: Readonly<Record<string, string | readonly [string, string]>>): Outcome[] {
  return Object.entries(codes).flatMap(([name, given]) => {
    const [alone, beside] = typeof given === 'string' ? [given, given] : given
    return [{ code: 'NOT_LATEST', skipped: { [name]: alone } }, newest(scene, ALL_LEVELS, { [name]: beside })]
  })
}

/** What both must see. */
export const VERIFIED_CASES: readonly VerifiedCase[] = [
  {
    name: 'each level is proved by servers that do what they should, and says what it proved',
    run: async (scene) => await Promise.all((['signed', 'included', 'witnessed', 'latest'] as const).map((level) => outcomeOf(scene, ['honest', 'mirror'], level))),
    expected: (scene) => ALL_LEVELS.map((_, at) => newest(scene, ALL_LEVELS.slice(0, at + 1))),
  },
  {
    name: 'an identity that was ended has no document, and one that nobody knows is an error',
    run: async (scene) => [await outcomeOf(scene, ['honest', 'mirror'], 'latest', {}, scene.ended), await outcomeOf(scene, ['honest', 'mirror'], 'signed', {}, scene.nobody)],
    expected: () => [{ document: null, levels: ALL_LEVELS, skipped: {} }, { code: 'NOT_FOUND', skipped: { honest: 'NOT_FOUND', mirror: 'NOT_FOUND' } }],
  },
  {
    name: 'a level that cannot be proved with what was given is an error at once',
    run: async (scene) => {
      const { servers, clock, request } = optionsOf(scene, ['honest'])
      const bare = { servers, ...(clock === undefined ? {} : { clock }), ...(request === undefined ? {} : { request }) }
      const keyed = { ...bare, logKeys: [parseVerifierKey(scene.vkey)] }
      const lonely = { ...bare, policy: parsePolicy(scene.policy.replace('quorum w', 'quorum none')) }
      const resolve = (options: ResolverOptions, require: Level): Promise<Outcome> => outcome(scene, createResolver(options).resolve(scene.alice, { require }))
      return [await resolve(bare, 'included'), await resolve(keyed, 'witnessed'), await resolve(lonely, 'witnessed'), await resolve({ ...keyed, policy: parsePolicy(scene.policy) }, 'latest'), await resolve(keyed, 'included')]
    },
    expected: (scene) => [...Array.from({ length: 4 }, () => ({ code: 'UNPROVABLE', skipped: {} })), newest(scene, ALL_LEVELS.slice(0, 2))],
  },
  {
    name: 'a stale mirror is named: its cosignatures are old, and its tree is smaller than what was verified',
    run: async (scene) => {
      const store = memoryCheckpoints()
      const first = await outcomeOf(scene, ['stale', 'honest'], 'witnessed')
      await outcomeOf(scene, ['honest'], 'included', { store })
      return [first, await outcomeOf(scene, ['stale'], 'included', { store }), await outcomeOf(scene, ['stale', 'mirror'], 'included', { store }), await outcomeOf(scene, ['stale', 'honest'], 'latest')]
    },
    expected: (scene) => [
      newest(scene, WITNESSED, { stale: 'NOT_RECENT' }),
      { code: 'STALE', skipped: { stale: 'STALE' } },
      newest(scene, ALL_LEVELS.slice(0, 2), { stale: 'STALE' }),
      { code: 'NOT_LATEST', skipped: { stale: 'NOT_RECENT' } },
    ],
  },
  {
    name: 'a server that omits the newest operation under a fresh witnessed checkpoint reaches witnessed, and fails latest',
    run: async (scene) => [
      await outcomeOf(scene, ['omitting', 'honest'], 'witnessed'),
      await outcomeOf(scene, ['omitting', 'honest'], 'latest'),
      await outcomeOf(scene, ['omitting', 'accomplice', 'honest'], 'latest'),
      await outcomeOf(scene, ['omitting', 'honest', 'mirror'], 'latest'),
      await outcomeOf(scene, ['omitting', 'honest', 'mirror'], 'latest', { latest: [agreement(3)] }),
    ],
    expected: (scene) => [
      { document: scene.documents.early, levels: WITNESSED, skipped: {} },
      { code: 'NOT_LATEST', skipped: { omitting: 'OMITTED' } },
      { code: 'NOT_LATEST', skipped: { omitting: 'OMITTED', accomplice: 'OMITTED' } },
      newest(scene, ALL_LEVELS, { omitting: 'OMITTED' }),
      { code: 'NOT_LATEST', skipped: { omitting: 'OMITTED' } },
    ],
  },
  {
    name: 'a follower of every entry shows what is newest, and names who leaves it out',
    run: async (scene) => {
      const follower = (operations: VerifiedScene['operations']) => ({ latest: [followed({ operations: () => Promise.resolve({ size: 307, operations }) })] })
      const behind = { latest: [followed({ operations: () => Promise.resolve(null) })] }
      return [
        await outcomeOf(scene, ['omitting', 'honest'], 'latest', follower(scene.operations)),
        await outcomeOf(scene, ['omitting'], 'latest', follower(scene.operations)),
        await outcomeOf(scene, ['honest'], 'latest', follower(scene.operations.slice(0, 3))),
        await outcomeOf(scene, ['honest'], 'latest', behind),
        await outcomeOf(scene, ['honest', 'mirror'], 'latest', { latest: [...behind.latest, agreement(2)] }),
      ]
    },
    expected: (scene) => [
      newest(scene, ALL_LEVELS, { omitting: 'OMITTED' }),
      { code: 'NOT_LATEST', skipped: { omitting: 'OMITTED' } },
      { code: 'NOT_LATEST', skipped: { honest: 'INVALID_HISTORY' } },
      { code: 'NOT_LATEST', skipped: {} },
      newest(scene),
    ],
  },
  {
    name: 'a directory with two faces is convicted, whichever is seen first, and is not believed any more',
    run: async (scene) => {
      const one = memoryCheckpoints()
      const outcomes = [await outcomeOf(scene, ['honest'], 'included', { store: one }), await outcomeOf(scene, ['face'], 'included', { store: one }), await outcomeOf(scene, ['honest'], 'included', { store: one })]
      const other = memoryCheckpoints()
      await outcomeOf(scene, ['honest'], 'witnessed', { store: other })
      outcomes.push(await outcomeOf(scene, ['larger', 'honest'], 'witnessed', { store: other }))
      outcomes.push(await outcomeOf(scene, ['honest', 'face'], 'latest'), await outcomeOf(scene, ['honest', 'larger'], 'latest'))
      return outcomes
    },
    expected: (scene) => {
      const [roots, fork] = (['two-roots', 'fork'] as const).map((evidence) => ({ code: 'CONTRADICTED', skipped: {}, evidence }))
      return [newest(scene, ALL_LEVELS.slice(0, 2)), roots, roots, fork, roots, fork]
    },
  },
  {
    name: 'a mirror of another log under the same name is named as that',
    run: async (scene) => [await outcomeOf(scene, ['otherLog'], 'included'), await outcomeOf(scene, ['otherLog', 'honest'], 'witnessed'), await outcomeOf(scene, ['otherLog', 'honest', 'mirror'], 'latest')],
    expected: (scene) => [{ code: 'OTHER_LOG', skipped: { otherLog: 'OTHER_LOG' } }, newest(scene, WITNESSED, { otherLog: 'OTHER_LOG' }), newest(scene, ALL_LEVELS, { otherLog: 'OTHER_LOG' })],
  },
  {
    name: 'what forges, hides its witnesses or says nothing is skipped by name',
    run: async (scene) => [
      await outcomeOf(scene, ['forging', 'unwitnessed', 'silent', 'honest'], 'witnessed', { request: { attempts: 1, timeoutMs: 1_000 } }),
      await outcomeOf(scene, ['forging', 'unwitnessed'], 'witnessed'),
    ],
    expected: (scene) => [
      newest(scene, WITNESSED, { forging: 'INVALID_HISTORY', unwitnessed: 'NOT_WITNESSED', silent: 'UNREACHABLE' }),
      { code: 'NO_ANSWER', skipped: { forging: 'INVALID_HISTORY', unwitnessed: 'NOT_WITNESSED' } },
    ],
  },
  {
    name: 'the map of the log shows what is newest, what was ended, and who is not there, by one server',
    run: async (scene) => [
      await outcomeOf(scene, ['honest'], 'latest', byMap(scene)),
      await outcomeOf(scene, ['honest'], 'latest', byMap(scene), scene.ended),
      await outcomeOf(scene, ['honest'], 'latest', byMap(scene), scene.nobody),
      await outcomeOf(scene, ['honest'], 'witnessed', byMap(scene), scene.nobody),
    ],
    expected: (scene) => [
      newest(scene),
      { document: null, levels: ALL_LEVELS, skipped: {} },
      { document: null, absent: true, levels: ['latest'], skipped: {} },
      { code: 'NOT_FOUND', skipped: { honest: 'NOT_FOUND' } },
    ],
  },
  {
    name: 'a server that hides the newest operation fails latest by the map, and an honest mirror beside it succeeds',
    run: async (scene) => await eachAlone(scene, ['omitting', 'hiding']),
    expected: (scene) => failingAlone(scene, { omitting: 'OMITTED', hiding: 'NOT_RECENT' }),
  },
  {
    name: 'a server that hides all of an identity fails latest by the map, and an honest mirror beside it succeeds',
    run: async (scene) => await eachAlone(scene, ['denying', 'refusing', 'halfDenying']),
    expected: (scene) => failingAlone(scene, { denying: ['NOT_RECENT', 'NOT_FOUND'], refusing: ['REFUSED', 'NOT_FOUND'], halfDenying: ['OMITTED', 'NOT_FOUND'] }),
  },
  {
    name: "a server that serves yesterday's map fails latest, also with a fresh checkpoint of the log, also where that map is cosigned today",
    run: async (scene) => await eachAlone(scene, ['stale', 'hidingWell', 'stalling']),
    expected: (scene) => failingAlone(scene, { stale: 'NOT_RECENT', hidingWell: 'NOT_RECENT', stalling: 'NOT_RECENT' }),
  },
  {
    name: "the map that was yesterday's is enough for who asks for no more, and for nobody who has seen a later one",
    run: async (scene) => {
      const [day, store] = [86_400_000, memoryCheckpoints()]
      const old = byMap(scene, { latest: [stateProof({ maxAgeMs: day })] })
      const first = await outcomeOf(scene, ['hidingWell'], 'latest', old)
      await outcomeOf(scene, ['honest'], 'latest', { ...old, store })
      return [first, await outcomeOf(scene, ['hidingWell'], 'latest', { ...old, store }), await outcomeOf(scene, ['hidingWell', 'mirror'], 'latest', { ...old, store })]
    },
    expected: (scene) => [
      { document: scene.documents.early, levels: ALL_LEVELS, skipped: {} },
      { code: 'NOT_LATEST', skipped: { hidingWell: 'STALE' } },
      newest(scene, ALL_LEVELS, { hidingWell: 'STALE' }),
    ],
  },
  {
    name: 'a map that no mirror of the quorum derived shows nothing, however many witnesses have seen it',
    run: async (scene) => {
      const either = parsePolicy(scene.mapPolicy.replace('both all', 'both any'))
      const unasked = parsePolicy(scene.mapPolicy.replace('quorum both', 'quorum w').replace('group both all w m\n', ''))
      return [
        await outcomeOf(scene, ['underived'], 'latest', byMap(scene, { policy: either })),
        await outcomeOf(scene, ['underived', 'mirror'], 'latest', byMap(scene, { policy: either })),
        await outcomeOf(scene, ['underived'], 'latest', byMap(scene)),
        await outcomeOf(scene, ['honest'], 'latest', byMap(scene, { policy: unasked })),
        await outcomeOf(scene, ['honest'], 'latest', byMap(scene, { policy: parsePolicy(scene.policy) })),
        await outcomeOf(scene, ['honest'], 'latest', byMap(scene, { latest: [stateProof({ mapKeys: [parseVerifierKey(scene.vkey)] })] })),
      ]
    },
    expected: (scene) => [
      { code: 'NOT_LATEST', skipped: { underived: 'NOT_DERIVED' } },
      newest(scene, ALL_LEVELS, { underived: 'NOT_DERIVED' }),
      { code: 'NOT_LATEST', skipped: { underived: 'NOT_WITNESSED' } },
      ...Array.from({ length: 3 }, () => ({ code: 'NOT_LATEST', skipped: {} })),
    ],
  },
  {
    name: 'a map of two faces is convicted, and the log is not believed any more',
    run: async (scene) => {
      const store = memoryCheckpoints()
      const outcomes: Outcome[] = []
      for (const name of ['otherMap', 'honest', 'otherMap'] as const) outcomes.push(await outcomeOf(scene, [name], 'latest', byMap(scene, { store })))
      return outcomes
    },
    expected: (scene) => {
      const convicted = { code: 'CONTRADICTED', skipped: {}, evidence: 'fork' }
      return [newest(scene), convicted, convicted]
    },
  },
]

/** A resolver that relies on the map of the log. */
export function byMap({ mapPolicy }: VerifiedScene, more: Partial<ResolverOptions> = {}): Partial<ResolverOptions> {
  return { policy: parsePolicy(mapPolicy), latest: [stateProof()], ...more }
}

/** A resolver forgets nothing that is kept in a storage: what a second one says of a stale mirror after the first has seen the log. */
export async function remembered(scene: VerifiedScene, storage: WebStorage): Promise<Outcome> {
  await outcomeOf(scene, ['honest'], 'included', { store: webStorageCheckpoints(storage, 'test') })
  return await outcomeOf(scene, ['stale'], 'included', { store: webStorageCheckpoints(storage, 'test') })
}

/** One byte of one answer, altered on the way. */
export interface Alteration {
  /** Which of the answers, in the order of their addresses; modulo their number. */
  readonly answer: number
  /** Which of its bytes, modulo their number. */
  readonly byte: number
  /** What it is changed by: 1 to 255. */
  readonly by: number
}

/** Answers as they came, by address. */
export type Recorded = ReadonlyMap<string, { readonly status: number; readonly body: Uint8Array }>

/** The answers from which a level is proved for alice. */
export async function recordAnswers(scene: VerifiedScene, names: readonly Name[], require: Level, more: Partial<ResolverOptions> = {}): Promise<Recorded> {
  const recorded = new Map<string, { status: number; body: Uint8Array }>()
  const recording: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    const body = new Uint8Array(await response.clone().arrayBuffer())
    recorded.set(urlOf(input), { status: response.status, body })
    return response
  }
  await outcomeOf(scene, names, require, { ...more, request: { fetch: recording } })
  return new Map([...recorded].sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** What comes of these answers where one byte of one is altered. */
export async function outcomeOfAltered(scene: VerifiedScene, names: readonly Name[], require: Level, recorded: Recorded, { answer, byte, by }: Alteration, more: Partial<ResolverOptions> = {}): Promise<Outcome> {
  const urls = [...recorded.keys()]
  const altered = urls[answer % urls.length]
  const replaying: typeof fetch = (input) => {
    const { status, body } = recorded.get(urlOf(input)) ?? { status: 404, body: new Uint8Array() }
    const sent = Uint8Array.from(body)
    if (urlOf(input) === altered) sent[byte % sent.length] = (sent[byte % sent.length] ?? 0) ^ by
    return Promise.resolve(new Response(sent, { status }))
  }
  return await outcomeOf(scene, names, require, { ...more, request: { fetch: replaying, attempts: 1 }, patienceMs: 0 })
}

/** Alterations spread over all answers, and what came of them but the right document and an error; none where all is well. */
export async function wrongAnswers(scene: VerifiedScene, count: number): Promise<unknown[]> {
  const wrong: unknown[] = []
  for (const [names, require, more] of [[['honest'], 'witnessed', {}], [['honest', 'mirror'], 'latest', {}], [['honest'], 'latest', byMap(scene)]] as const) {
    const recorded = await recordAnswers(scene, names, require, more)
    for (let i = 0; i < count; i++) {
      const alteration = { answer: i, byte: i * 7_919, by: 1 + ((i * 31) % 255) }
      const outcome = await outcomeOfAltered(scene, names, require, recorded, alteration, more)
      if (!isRight(scene, outcome)) wrong.push({ alteration, outcome })
    }
  }
  return wrong
}

/** The address that a request is for. */
export function urlOf(input: Parameters<typeof fetch>[0]): string {
  if (input instanceof Request) return input.url
  return typeof input === 'string' ? input : input.href
}

/** Whether an outcome is the right document or an error. */
export function isRight({ documents }: VerifiedScene, { document, code }: Outcome): boolean {
  return code !== undefined || document === documents.newest
}

/** Runs all cases: what each gave, or why it gave nothing. */
export async function runCases(scene: VerifiedScene): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {}
  for (const { name, run } of VERIFIED_CASES) seen[name] = await run(scene).catch((error: unknown) => String(error instanceof Error ? error.stack : error))
  return seen
}
