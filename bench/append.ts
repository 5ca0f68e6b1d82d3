// Operations that a directory takes, by 1 to 256 writers who each wait for the answer: identities made, changed by their
// first rotation key and by their second, and made with keys of P-256. Afterwards every operation that was acknowledged
// is looked for in the log.
//
// node bench/append.ts [--runs 5] [--seconds 3] [--operations 6000] [--before 1000000] [--writers 1,16,64,256] [--data FOLDER] [--profile FOLDER]

import { createHash } from 'node:crypto'
import secp256k1 from 'secp256k1'
import { directoryClient } from '../src/client/directory-client.ts'
import { renderJson } from '../src/core/encoding/json.ts'
import { base64url } from '../src/core/encoding/text.ts'
import { didOf } from '../src/core/plc/did.ts'
import { operationValue, type Operation } from '../src/core/plc/operation.ts'
import { signerFromSecret, signOperation, type OperationSigner } from '../src/core/plc/signature.ts'
import { medians, note, printTable, readOptions, withSpeed, type Figures, type Row } from './harness.ts'
import { layIdentities } from './identities.ts'
import { post, startGenerator, type Loaded } from './load.ts'
import { newPlace, serve, type Served } from './server.ts'

const SIGNERS = 50
/** Of the operations, those of P-256: to sign them takes its time. */
const P256_SHARE = 1 / 4

interface Account {
  readonly did: string
  /** The genesis, then each operation that follows the one before. */
  readonly operations: readonly Operation[]
}

const options = readOptions(6_000)
await using place = newPlace(options.data)
if (options.before > 0) await layIdentities(place, options.before)
await using served = await serve(place, options.profile)
using generator = startGenerator()
const signers = Array.from({ length: SIGNERS }, (_, i) => makeSigner(i))
const p256Signers = Array.from({ length: SIGNERS }, (_, i) => signerFromSecret('p256', new Uint8Array(createHash('sha256').update(`append ${i}`).digest())))
const acknowledged: { readonly did: string; readonly cid: string }[] = []
const rows: Row[] = []

for (const writers of options.writers) {
  const names = ['genesis', 'update', 'update by the second key', 'genesis, P-256']
  const runs: Figures[][] = names.map(() => [])
  for (let run = 1; run <= options.runs; run++) {
    note(`${plural(writers)}, run ${run}`)
    // One writer alone cannot use them all.
    const length = Math.ceil(options.operations * Math.min(1, writers / 4))
    let accounts = Array.from({ length }, (_, i) => makeAccount(`w${writers}r${run}n${i}`, signers, i))
    for (const step of [0, 1, 2]) {
      const { loaded, figures } = await send(writers, accounts, step)
      runs[step]?.push(figures)
      accounts = loaded.answered.flatMap((position) => accounts[position] ?? [])
    }
    const others = Array.from({ length: Math.ceil(length * P256_SHARE) }, (_, i) => makeAccount(`p${writers}r${run}n${i}`, p256Signers, i, 1))
    runs[3]?.push((await send(writers, others, 0)).figures)
  }
  for (const [i, name] of names.entries()) rows.push({ name: `${name}, ${plural(writers)}`, figures: medians(runs[i] ?? []) })
}
printTable(options.before === 0 ? 'Operations taken' : `Operations taken by a log of ${options.before}`, options, rows)
const missing = await countMissing(served)
note(`${acknowledged.length} operations were acknowledged, ${missing} of them are not in the log`)
if (missing > 0) process.exitCode = 1

async function send(writers: number, accounts: readonly Account[], step: number): Promise<{ readonly loaded: Loaded; readonly figures: Figures }> {
  const requests = accounts.flatMap(({ did, operations }) => operations.slice(step, step + 1).map(({ value }) => post(`/${did}`, renderJson(value))))
  let loaded: Loaded = { figures: {}, answered: [] }
  const figures = await withSpeed(async () => {
    loaded = await generator.load(served, { connections: writers, seconds: options.seconds, repeat: false, requests })
    return loaded.figures
  })
  for (const position of loaded.answered) {
    const account = accounts[position]
    const operation = account?.operations[step]
    if (account !== undefined && operation !== undefined) acknowledged.push({ did: account.did, cid: operation.cid })
  }
  return { loaded, figures }
}

async function countMissing({ url }: Served): Promise<number> {
  const found = new Set<string>()
  for await (const lines of directoryClient(url).exportPages(options.before)) {
    for (const line of lines) {
      const { did, cid } = JSON.parse(line) as { did: string; cid: string }
      found.add(`${did} ${cid}`)
    }
  }
  return acknowledged.filter(({ did, cid }) => !found.has(`${did} ${cid}`)).length
}

function makeAccount(name: string, among: readonly OperationSigner[], number: number, length = 3): Account {
  const [first, second] = [among[number % SIGNERS], among[(number + 1) % SIGNERS]]
  if (first === undefined || second === undefined) throw new Error('there is a signer')
  const data = {
    rotationKeys: [first.did, second.did],
    verificationMethods: new Map([['atproto', first.did]]),
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://host.example' }]]),
  }
  const operations: Operation[] = []
  for (let step = 0; step < length; step++) {
    const value = operationValue({ ...data, alsoKnownAs: [`at://${'new.'.repeat(step)}${name}.example`], prev: operations.at(-1)?.cid ?? null })
    operations.push(signOperation(value, step === 2 ? second : first))
  }
  return { did: didOf(operations[0]?.bytes ?? new Uint8Array()), operations }
}

// libsecp256k1 signs before the clock runs.
function makeSigner(number: number): OperationSigner {
  const secret = createHash('sha256').update(`append ${number}`).digest()
  const { did } = signerFromSecret('k256', new Uint8Array(secret))
  return { did, sign: (message) => base64url.encode(secp256k1.ecdsaSign(createHash('sha256').update(message).digest(), secret).signature) }
}

function plural(writers: number): string {
  return writers === 1 ? '1 writer' : `${writers} writers`
}
