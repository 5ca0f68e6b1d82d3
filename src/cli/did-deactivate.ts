// `stele did deactivate DID`: ends an identity with a tombstone. docs/identities.md#deactivating

import { Command } from 'commander'
import type { DirectoryClient } from '../client/directory-client.ts'
import { handleOf, show } from '../client/changes.ts'
import { tombstoneValue, type Operation } from '../core/plc/operation.ts'
import { confirm } from './confirm.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { addKeyOption, prepare, readIdentity, readOwnerKey, requireRotationKey, sayWhoCanUndo } from './owner.ts'
import { requireDid } from './resolve.ts'
import { print, say } from './terminal.ts'

interface DeactivateOptions {
  readonly key?: string
  readonly yes?: true
  readonly dryRun?: true
}

/** The command. */
export function deactivateCommand(): Command {
  return addKeyOption(addSettings(new Command('deactivate'), CLIENT_SETTINGS))
    .description('End an identity with a tombstone, and print the CID of the operation. Only a stronger key can undo it, within 72 hours.')
    .argument('<did>', 'did:plc:...')
    .option('--dry-run', 'say what it would mean, and submit nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ stele did deactivate did:plc:ewvi7nxzyoun6zhxrhs64oiz --key alice.key')
    .action(async (did: string, options: DeactivateOptions, command: Command) => {
      const operation = await deactivate(directoryOf(command), requireDid(did), options)
      if (operation !== null) print(operation.cid)
    })
}

async function deactivate(directory: DirectoryClient, did: string, options: DeactivateOptions): Promise<Operation | null> {
  const key = readOwnerKey(did, options.key)
  const identity = await readIdentity(directory, did)
  requireRotationKey(identity, key)
  const now = Date.now()
  const { operation, signer } = prepare(identity.chain, tombstoneValue(identity.head.operation.cid), key.signer, now)
  const handle = handleOf(identity.data.alsoKnownAs)
  say(`this ends ${did}${handle === null ? '' : `, known as ${show(handle)}`}: its document is served no more, nobody finds its server or its keys, and no update can follow. The DID itself is used up for ever; its history stays public.`)
  sayWhoCanUndo(identity.chain, operation, signer, now)
  if (signer > 0) say(`to undo it: stele did recover ${did} --key FILE --from ${identity.head.operation.cid}`)
  if (options.dryRun) {
    say('--dry-run: nothing was submitted')
    return null
  }
  await confirm(`End ${did}?`, options.yes === true)
  await directory.submit(did, operation)
  return operation
}
