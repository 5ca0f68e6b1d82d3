// `stele did rotate DID`: other rotation keys, or the same ones in another order. docs/identities.md#rotating

import { Command } from 'commander'
import { UsageError } from '../config.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { operationValue, type Operation } from '../core/plc/operation.ts'
import { readKeyArgument, readOperationKey } from './operation-key.ts'
import { addSettings, CLIENT_SETTINGS, collect, directoryOf } from './options.ts'
import { addKeyOption, prepare, readIdentity, readOwnerKey, requireRotationKey, sayWhoCanUndo, type OwnerKey } from './owner.ts'
import { requireDid } from './resolve.ts'
import { checkRotationKeys, editRotationKeys, sayRotationKeys } from './rotation-list.ts'
import { print, say } from './terminal.ts'

interface RotateOptions {
  readonly key?: string
  readonly add?: readonly string[]
  readonly at?: string
  readonly remove?: readonly string[]
  readonly rotationKey?: readonly string[]
  readonly force?: true
  readonly dryRun?: true
}

/** The command. */
export function rotateCommand(): Command {
  return addKeyOption(addSettings(new Command('rotate'), CLIENT_SETTINGS))
    .description('Add, remove or reorder rotation keys, and print the CID of the operation. Shows the list before and after.')
    .argument('<did>', 'did:plc:...')
    .option('--add <file or did:key>', 'a key to add, as the weakest unless --at says more; can be repeated', collect)
    .option('--at <number>', 'priority of what is added, 1 for the strongest; moves a key that is there already')
    .option('--remove <did:key or file>', 'a key to remove; can be repeated', collect)
    .option('--rotation-key <file or did:key>', 'instead: the whole list, strongest first; can be repeated', collect)
    .option('--force', 'even if none of the keys that stay is one whose secret you named')
    .option('--dry-run', 'show the lists, and submit nothing')
    .addHelpText('after', '\nExample:\n  $ stele did rotate did:plc:ewvi7nxzyoun6zhxrhs64oiz --key alice.key --add paper.key --at 1')
    .action(async (did: string, options: RotateOptions, command: Command) => {
      const operation = await rotate(directoryOf(command), requireDid(did), options)
      if (operation !== null) print(operation.cid)
    })
}

async function rotate(directory: DirectoryClient, did: string, options: RotateOptions): Promise<Operation | null> {
  const added = (options.add ?? []).map(readKeyArgument)
  const listed = options.rotationKey?.map(readKeyArgument) ?? null
  const removed = (options.remove ?? []).map(publicKeyOf)
  const at = options.at === undefined ? null : readPriority(options.at)
  if (listed !== null && added.length + removed.length > 0) throw new UsageError('--rotation-key is the whole list: it excludes --add and --remove')
  if (listed === null && added.length + removed.length === 0) throw new UsageError('nothing to change: give --add, --remove or --rotation-key')
  if (at !== null && added.length === 0) throw new UsageError('--at goes with --add')
  const key = readOwnerKey(did, options.key)
  const identity = await readIdentity(directory, did)
  requireRotationKey(identity, key)

  const before = identity.data.rotationKeys
  const after = listed?.map(({ did }) => did) ?? editRotationKeys(before, { add: added.map(({ did }) => did), at, remove: removed })
  if (after.join() === before.join()) throw new UsageError('nothing to change: the rotation keys are these, in this order')
  const held = new Set([key.signer.did, ...[...added, ...(listed ?? [])].flatMap(({ signer }) => (signer === null ? [] : [signer.did]))])
  sayRotationKeys(`rotation keys of ${did} now, strongest first:`, before, (one) => notesOf(one, key, after.includes(one) ? '' : 'goes'))
  sayRotationKeys('and then:', after, (one) => notesOf(one, key, before.includes(one) ? '' : 'new'))
  checkRotationKeys(after, held, options.force === true)

  const now = Date.now()
  const { operation, signer } = prepare(identity.chain, operationValue({ ...identity.data, rotationKeys: after, prev: identity.head.operation.cid }), key.signer, now)
  sayWhoCanUndo(identity.chain, operation, signer, now)
  if (options.dryRun) {
    say('--dry-run: nothing was submitted')
    return null
  }
  await directory.submit(did, operation)
  return operation
}

function notesOf(key: string, { signer }: OwnerKey, fate: string): string {
  return [key === signer.did ? 'signs this' : '', fate].filter((note) => note !== '').join(', ')
}

// As it is spelled: history may list what cannot be parsed, and that is to be removed too.
function publicKeyOf(argument: string): string {
  return argument.startsWith('did:key:') ? argument : readOperationKey(argument).signer.did
}

function readPriority(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new UsageError(`--at: ${text} is not a priority: 1 is the strongest`)
  return Number(text)
}
