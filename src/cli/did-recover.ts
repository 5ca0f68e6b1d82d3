// `stele did recover DID`: a stronger rotation key undoes what a weaker one did. docs/identities.md#recovering

import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { describeData, describeLink, describeSigner, signedBy } from '../client/changes.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { describeDuration, forksOf, obstacleTo, type Fork } from '../client/recovery.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { assert } from '../core/errors.ts'
import { findLink, headOf, type Chain, type Link } from '../core/plc/chain.ts'
import { dataOf, operationValue, type IdentityData, type Operation } from '../core/plc/operation.ts'
import { confirm } from './confirm.ts'
import { RefusedError } from './exit.ts'
import { addIdentityOptions, changed, type IdentityOptions } from './identity-options.ts'
import { readKeyArgument } from './operation-key.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { addKeyOption, prepare, readChain, readOwnerKey, sayWhoCanUndo, shellWord, type OwnerKey } from './owner.ts'
import { requireDid } from './resolve.ts'
import { checkRotationKeys, sayRotationKeys } from './rotation-list.ts'
import { print, say } from './terminal.ts'

type RecoverOptions = IdentityOptions & { readonly key?: string; readonly from?: string; readonly dryRun?: true; readonly yes?: true; readonly force?: true }

/** Most places that are explained where none or several would do. */
const MAX_SHOWN_FORKS = 5

/** The command. */
export function recoverCommand(): Command {
  return addIdentityOptions(addKeyOption(addSettings(new Command('recover'), CLIENT_SETTINGS)))
    .description('Undo, with a stronger rotation key and within 72 hours, what a weaker one did: by default everything is again as it was. Prints the CID of the operation.')
    .argument('<did>', 'did:plc:...')
    .option('--from <cid>', 'the last operation that is to stay; everything after it is undone')
    .option('--dry-run', 'show what would be undone, whether the key can do it and until when, and submit nothing')
    .option('--yes', 'do not ask')
    .option('--force', 'even if none of the keys that stay is one whose secret you named')
    .addHelpText(
      'after',
      '\nExample:\n  $ stele did recover did:plc:ewvi7nxzyoun6zhxrhs64oiz --key paper.key --dry-run\n\n' +
        'Other options change what is restored: --rotation-key, given for each key that is to stay, leaves a stolen one out.',
    )
    .action(async (did: string, options: RecoverOptions, command: Command) => {
      const operation = await recover(directoryOf(command), requireDid(did), options)
      if (operation !== null) print(operation.cid)
    })
}

async function recover(directory: DirectoryClient, did: string, options: RecoverOptions): Promise<Operation | null> {
  const key = readOwnerKey(did, options.key)
  const listed = options.rotationKey?.map(readKeyArgument) ?? null
  const signingKey = options.signingKey === undefined ? null : readKeyArgument(options.signingKey).did
  const chain = await readChain(directory, did)
  const now = Date.now()

  const fork = options.from === undefined ? chooseFork(chain, key, now) : namedFork(chain, options.from)
  sayFork(chain, fork, now)
  const obstacle = obstacleTo(chain, fork, key.signer.did, now)
  if (obstacle !== null) {
    const clock = obstacle.why === 'too-late' ? ' That is by the clock of this machine: if it is wrong, correct it.' : ''
    throw new RefusedError(`${key.file} cannot undo this. ${obstacle.words}${clock} Nothing was submitted.`)
  }

  const stays = linkAt(chain, fork.position).operation
  const restored = dataOf(stays)
  assert(restored !== null, 'nothing follows a tombstone')
  const next = changed(restored, options, listed?.map(({ did }) => did) ?? null, signingKey)
  checkRotationKeys(next.rotationKeys, new Set([key.signer.did, ...(listed ?? []).flatMap(({ signer }) => (signer === null ? [] : [signer.did]))]), options.force === true)
  const { operation, signer } = prepare(chain, operationValue({ ...next, prev: stays.cid }), key.signer, now)
  sayRestored(chain, next)
  sayRotationKeys('rotation keys afterwards, strongest first:', next.rotationKeys, (one) => notesOf(chain, fork, key, one))
  sayWhoCanUndo(chain, operation, signer, now)
  if (options.dryRun) {
    say('--dry-run: nothing was submitted. Without it, this recovery would be accepted now')
    return null
  }
  await confirm(`Undo ${count(fork.undone.length)} of ${did}?`, options.yes === true)
  await directory.submit(did, operation)
  sayAfterwards(chain, fork, next, did, key)
  return operation
}

function namedFork(chain: Chain, cid: string): Fork {
  const position = findLink(chain, cid)
  if (position === null) throw new UsageError(`--from: ${cid} is none of the operations of ${chain.did}; \`stele resolve ${chain.did} --audit\` lists them`)
  if (linkAt(chain, position).nullified) throw new RefusedError(`${cid} was undone itself, and an operation that was undone never comes back into effect. Nothing was submitted`)
  const fork = forksOf(chain).find((fork) => fork.position === position)
  if (fork === undefined) throw new RefusedError(`${cid} is the newest operation in effect: nothing follows it that could be undone. --from names the last operation that is to stay. Nothing was submitted`)
  return fork
}

// The one place where the key can undo something. Which of several is meant only the owner knows.
function chooseFork(chain: Chain, key: OwnerKey, now: number): Fork {
  const forks = forksOf(chain)
  if (forks.length === 0) throw new RefusedError(`${chain.did} has one operation, its first: there is nothing to undo`)
  const possible = forks.filter((fork) => obstacleTo(chain, fork, key.signer.did, now) === null)
  const [only, ...others] = possible
  if (only !== undefined && others.length === 0) return only
  if (only !== undefined) {
    say(`${key.file} could undo more or fewer operations of ${chain.did}. From the newest on:`)
    for (const fork of possible) sayPlace(chain, fork, key)
    throw new UsageError('say with --from which operation is the last that is to stay. Nothing was submitted')
  }
  const open = forks.filter((fork) => now <= fork.until)
  const explained = (open.length === 0 ? forks.slice(0, 1) : open).slice(0, MAX_SHOWN_FORKS)
  for (const fork of explained) {
    sayFork(chain, fork, now)
    say(obstacleTo(chain, fork, key.signer.did, now)?.words ?? '')
  }
  throw new RefusedError(`${key.file} can undo no operation of ${chain.did}. Nothing was submitted`)
}

function sayPlace(chain: Chain, fork: Fork, key: OwnerKey): void {
  const [first = 0] = fork.undone
  sayOperation(chain, first)
  say(`  to undo it and what follows it: ${commandFor(chain.did, key, linkAt(chain, fork.position).operation.cid)}`)
}

function sayFork(chain: Chain, fork: Fork, now: number): void {
  const { operation, createdAt } = linkAt(chain, fork.position)
  say(`the last operation that stays: ${operation.cid}, accepted ${formatTimestamp(createdAt)}`)
  say(`${count(fork.undone.length)} after it would be undone:`)
  for (const position of fork.undone) sayOperation(chain, position)
  if (fork.keys.length === 0) return
  const left = fork.until - now
  say(`the 72 hours in which that can be done ${left < 0 ? 'ended' : 'end'} ${formatTimestamp(fork.until)} (${left < 0 ? `${describeDuration(-left)} ago` : `${describeDuration(left)} left`}); keys that could:`)
  for (const [index, key] of fork.keys.entries()) say(`  ${index + 1}  ${key}`)
}

function sayOperation(chain: Chain, position: number): void {
  const { operation, createdAt } = linkAt(chain, position)
  say(`  ${operation.cid}, accepted ${formatTimestamp(createdAt)}, signed by ${describeSigner(signedBy(chain, position))}`)
  for (const { words } of describeLink(chain, position)) say(`    it ${words}`)
}

function sayRestored(chain: Chain, next: IdentityData): void {
  const head = headOf(chain)
  const current = head === null ? null : dataOf(head.operation)
  if (current === null) {
    say('the recovery brings the identity back:')
    for (const { words } of describeData(next, { rotationKeys: next.rotationKeys, verificationMethods: new Map(), alsoKnownAs: [], services: new Map() })) say(`  it ${words}`)
    return
  }
  const changes = describeData(next, current)
  say(changes.length === 0 ? 'the recovery leaves everything as it is now' : 'against what is in effect now, the recovery:')
  for (const { words } of changes) say(`  ${words}`)
}

function notesOf(chain: Chain, fork: Fork, key: OwnerKey, one: string): string {
  const signed = fork.undone.some((position) => signedBy(chain, position).key === one)
  return [one === key.signer.did ? 'signs this' : '', signed ? 'signed what is undone' : ''].filter((note) => note !== '').join(', ')
}

// A stolen key that stays can do it all again.
function sayAfterwards(chain: Chain, fork: Fork, next: IdentityData, did: string, key: OwnerKey): void {
  say(`undone: ${count(fork.undone.length)}`)
  const suspects = new Set(fork.undone.map((position) => signedBy(chain, position).key).filter((one) => next.rotationKeys.includes(one)))
  for (const suspect of suspects) {
    say(`still a rotation key: ${suspect}, which signed what was undone. If somebody else has it, remove it now: stele did rotate ${did} --key ${shellWord(key.file)} --remove ${suspect}`)
  }
}

function commandFor(did: string, key: OwnerKey, from: string): string {
  return `stele did recover ${did} --key ${shellWord(key.file)} --from ${from}`
}

function count(operations: number): string {
  return operations === 1 ? '1 operation' : `${operations} operations`
}

function linkAt(chain: Chain, position: number): Link {
  const link = chain.links[position]
  assert(link !== undefined, 'positions come from the chain itself')
  return link
}
