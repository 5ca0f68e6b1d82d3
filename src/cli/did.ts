// `stele did`: making and changing identities. docs/identities.md

import { Command } from 'commander'
import { createCommand } from './did-create.ts'
import { deactivateCommand } from './did-deactivate.ts'
import { moveCommand } from './did-move.ts'
import { recoverCommand } from './did-recover.ts'
import { rotateCommand } from './did-rotate.ts'
import { updateCommand } from './did-update.ts'

/** The command, with a subcommand for each thing that an owner does. */
export function didCommand(): Command {
  return new Command('did')
    .description('Create identities, change them, and bring them back.')
    .addCommand(createCommand())
    .addCommand(updateCommand())
    .addCommand(rotateCommand())
    .addCommand(moveCommand())
    .addCommand(recoverCommand())
    .addCommand(deactivateCommand())
    .addHelpText('after', '\nExample:\n  $ stele did create --handle alice.example.com --pds https://pds.example.com\n\ndocs/identities.md tells owners about keys, rotation and recovery.')
}
