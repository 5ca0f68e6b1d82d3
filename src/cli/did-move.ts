// `stele did move DID`: another server and another signing key in one operation. docs/identities.md#moving

import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { describeData } from '../client/changes.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { parseJson } from '../client/json.ts'
import { sleep } from '../client/request.ts'
import { operationValue, type IdentityData, type Operation } from '../core/plc/operation.ts'
import { confirm } from './confirm.ts'
import { EXIT } from './exit.ts'
import { changed, serverUrl } from './identity-options.ts'
import { readKeyArgument } from './operation-key.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { addKeyOption, prepare, readIdentity, readOwnerKey, requireRotationKey, sayWhoCanUndo } from './owner.ts'
import { checkServer } from './pds-check.ts'
import { requireDid } from './resolve.ts'
import { sayRotationKeys } from './rotation-list.ts'
import { print, say } from './terminal.ts'
import { wordsFor } from './words.ts'

interface MoveOptions {
  readonly key?: string
  readonly pds: string
  readonly signingKey: string
  readonly handle?: string
  readonly check: boolean
  readonly yes?: true
  readonly dryRun?: true
}

/** How often, and how long apart, the directory is asked for the new document. */
const ATTEMPTS = 10
const ATTEMPTS_APART_MS = 500

/** The command. */
export function moveCommand(): Command {
  return addKeyOption(addSettings(new Command('move'), CLIENT_SETTINGS))
    .description('Move an identity to another server: names it and its signing key in one operation, and prints the CID. Exit code 3 where the new document is not served yet.')
    .argument('<did>', 'did:plc:...')
    .requiredOption('--pds <url>', 'the new personal data server')
    .requiredOption('--signing-key <did:key or file>', 'the key with which the new server signs for the identity: it tells you')
    .option('--handle <name>', 'the handle, where it changes too')
    .option('--no-check', 'do not ask whether the new server answers')
    .option('--dry-run', 'check, show what would change, and submit nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ stele did move did:plc:ewvi7nxzyoun6zhxrhs64oiz --pds https://pds.example --signing-key did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme --key alice.key')
    .action(async (did: string, options: MoveOptions, command: Command) => {
      const operation = await move(directoryOf(command), requireDid(did), options)
      if (operation !== null) print(operation.cid)
    })
}

async function move(directory: DirectoryClient, did: string, options: MoveOptions): Promise<Operation | null> {
  const pds = serverUrl(options.pds)
  const signingKey = readKeyArgument(options.signingKey).did
  const key = readOwnerKey(did, options.key)
  const identity = await readIdentity(directory, did)
  requireRotationKey(identity, key)
  const next = changed(identity.data, { pds, ...(options.handle === undefined ? {} : { handle: options.handle }) }, null, signingKey)
  const changes = describeData(next, identity.data)
  if (changes.length === 0) throw new UsageError(`nothing to change: ${did} names this server and this signing key already`)

  if (options.check) say(`the new server answers: ${await checkServer(pds)}`)
  else say('--no-check: whether the new server answers is not known')
  if (identity.data.verificationMethods.get('atproto') === signingKey) say('warning: the signing key stays the same: the server that is left could go on signing with it')
  say('this operation:')
  for (const { words } of changes) say(`  ${words}`)
  const now = Date.now()
  const { operation, signer } = prepare(identity.chain, operationValue({ ...next, prev: identity.head.operation.cid }), key.signer, now)
  sayWhoCanUndo(identity.chain, operation, signer, now)
  if (options.dryRun) {
    say('--dry-run: nothing was submitted')
    return null
  }
  say('before you go on: the new server holds the account and its data, and the signing key is the one that it told you')
  await confirm(`Move ${did} to ${pds}?`, options.yes === true)
  await directory.submit(did, operation)
  await sayWhatIsServed(directory, did, next)
  sayNext(did, identity.data, next)
  return operation
}

async function sayWhatIsServed(directory: DirectoryClient, did: string, next: IdentityData): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const problem = await problemWith(directory, did, next)
    if (problem === null) {
      say(`${directory.url} serves the new document`)
      return
    }
    if (attempt === ATTEMPTS) {
      say(`warning: the operation was accepted, but ${problem}: ask again with \`stele resolve ${did}\``)
      process.exitCode = EXIT.remarks
      return
    }
    await sleep(ATTEMPTS_APART_MS)
  }
}

// The operation is accepted already: whatever goes wrong here is no failure of the move.
async function problemWith(directory: DirectoryClient, did: string, next: IdentityData): Promise<string | null> {
  try {
    const missing = missingIn(parseJson(await directory.document(did)), did, next)
    return missing.length === 0 ? null : `${directory.url} still serves a document without ${missing.join(' and ')}`
  } catch (error) {
    return wordsFor(error)
  }
}

/** What a DID document lacks of the server, the signing key and the names that an identity has, in words. */
export function missingIn(document: unknown, did: string, data: IdentityData): string[] {
  const services = membersOf(document, 'service').filter(({ id }) => id === '#atproto_pds' || id === `${did}#atproto_pds`)
  const methods = membersOf(document, 'verificationMethod').filter(({ id }) => id === '#atproto' || id === `${did}#atproto`)
  const names: unknown = typeof document === 'object' && document !== null && 'alsoKnownAs' in document ? document.alsoKnownAs : null
  const missing: string[] = []
  if (!services.some(({ serviceEndpoint }) => serviceEndpoint === data.services.get('atproto_pds')?.endpoint)) missing.push('the new server')
  if (!methods.some(({ publicKeyMultibase }) => `did:key:${String(publicKeyMultibase)}` === data.verificationMethods.get('atproto'))) missing.push('the new signing key')
  if (!Array.isArray(names) || !data.alsoKnownAs.every((name) => names.includes(name))) missing.push('all of the names')
  return missing
}

function membersOf(document: unknown, member: string): Record<string, unknown>[] {
  if (typeof document !== 'object' || document === null) return []
  const list: unknown = new Map<string, unknown>(Object.entries(document)).get(member)
  if (!Array.isArray(list)) return []
  return list.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
}

function sayNext(did: string, before: IdentityData, after: IdentityData): void {
  const old = before.services.get('atproto_pds')?.endpoint
  say('next:')
  say('  activate the account on the new server, and see that it publishes; then deactivate it on the old one')
  if (old !== undefined) say(`  keep what you need from ${old}: nothing points to it any more`)
  say('  see that the handle still leads to the DID: stele resolve HANDLE')
  sayRotationKeys(`  see whose rotation keys these are. If one belongs to the old server, \`stele did rotate ${did}\` replaces it:`, after.rotationKeys, () => '')
}
