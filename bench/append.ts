// Operations that a directory takes: identities made, then changed, by 1 to 256 writers who each wait for the answer.
// Afterwards every operation that was acknowledged is looked for in the log.
//
// node bench/append.ts [--runs 5] [--seconds 3] [--operations 6000] [--profile FOLDER]

import { createHash } from 'node:crypto'
import secp256k1 from 'secp256k1'
import { directoryClient } from '../src/client/directory-client.ts'
import { renderJson } from '../src/core/encoding/json.ts'
import { base64url } from '../src/core/encoding/text.ts'
import { didOf } from '../src/core/plc/did.ts'
import { operationValue, type Operation } from '../src/core/plc/operation.ts'
import { signerFromSecret, signOperation, type OperationSigner } from '../src/core/plc/signature.ts'
import { medians, note, printTable, readOptions, withSpeed, type Figures, type Row } from './harness.ts'
import { post, startGenerator, type Loaded } from './load.ts'
import { newPlace, serve, type Served } from './server.ts'

const WRITERS = [1, 16, 64, 256]
const SIGNERS = 50

interface Account {
  readonly did: string
  readonly genesis: Operation
  readonly update: Operation
}

const options = readOptions(6_000)
await using place = newPlace()
await using served = await serve(place, options.profile)
using generator = startGenerator()
const signers = Array.from({ length: SIGNERS }, (_, i) => makeSigner(i))
const acknowledged: { readonly did: string; readonly cid: string }[] = []
const rows: Row[] = []

for (const writers of WRITERS) {
  const genesis: Figures[] = []
  const updates: Figures[] = []
  for (let run = 1; run <= options.runs; run++) {
    note(`${plural(writers)}, run ${run}`)
    // One writer alone cannot use them all, and to sign them takes its time.
    const length = Math.ceil(options.operations * Math.min(1, writers / 4))
    const accounts = Array.from({ length }, (_, i) => makeAccount(`w${writers}r${run}n${i}`, signers[i % SIGNERS]))
    let made: readonly Account[] = []
    genesis.push(
      await withSpeed(async () => {
        const { figures, answered } = await send(writers, accounts, 'genesis')
        made = answered.flatMap((position) => accounts[position] ?? [])
        return figures
      }),
    )
    updates.push(await withSpeed(async () => (await send(writers, made, 'update')).figures))
  }
  rows.push({ name: `genesis, ${plural(writers)}`, figures: medians(genesis) })
  rows.push({ name: `update, ${plural(writers)}`, figures: medians(updates) })
}
printTable('Operations taken', options, rows)
const missing = await countMissing(served)
note(`${acknowledged.length} operations were acknowledged, ${missing} of them are not in the log`)
if (missing > 0) process.exitCode = 1

async function send(writers: number, accounts: readonly Account[], kind: 'genesis' | 'update'): Promise<Loaded> {
  const requests = accounts.map((account) => post(`/${account.did}`, renderJson(account[kind].value)))
  const loaded = await generator.load(served, { connections: writers, seconds: options.seconds, repeat: false, requests })
  for (const position of loaded.answered) {
    const account = accounts[position]
    if (account !== undefined) acknowledged.push({ did: account.did, cid: account[kind].cid })
  }
  return loaded
}

async function countMissing({ url }: Served): Promise<number> {
  const found = new Set<string>()
  for await (const lines of directoryClient(url).exportPages(0)) {
    for (const line of lines) {
      const { did, cid } = JSON.parse(line) as { did: string; cid: string }
      found.add(`${did} ${cid}`)
    }
  }
  return acknowledged.filter(({ did, cid }) => !found.has(`${did} ${cid}`)).length
}

function makeAccount(name: string, signer: OperationSigner | undefined): Account {
  if (signer === undefined) throw new Error('there is a signer')
  const data = {
    rotationKeys: [signer.did],
    verificationMethods: new Map([['atproto', signer.did]]),
    alsoKnownAs: [`at://${name}.example`],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://host.example' }]]),
  }
  const genesis = signOperation(operationValue({ ...data, prev: null }), signer)
  const update = signOperation(operationValue({ ...data, alsoKnownAs: [`at://new.${name}.example`], prev: genesis.cid }), signer)
  return { did: didOf(genesis.bytes), genesis, update }
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
