// All commands, as one program.

import { Command } from 'commander'
import { VERSION } from '../directory.ts'
import { auditCommand } from './audit.ts'
import { compareCommand } from './compare.ts'
import { didCommand } from './did.ts'
import { exportCommand } from './export.ts'
import { followCommand } from './follow.ts'
import { fsckCommand } from './fsck.ts'
import { importCommand } from './import.ts'
import { initCommand } from './init.ts'
import { keygenCommand } from './keygen.ts'
import { keysCommand } from './keys.ts'
import { mapCommand } from './map.ts'
import { migrateCommand } from './migrate.ts'
import { mirrorCommand } from './mirror.ts'
import { monitorCommand } from './monitor.ts'
import { proofCommand } from './proof.ts'
import { recoverLogCommand } from './recover-log.ts'
import { resolveCommand } from './resolve.ts'
import { serveCommand } from './serve.ts'
import { signerCommand } from './signer.ts'
import { stateProofCommand } from './state-proof.ts'
import { escapeControls } from './terminal.ts'
import { verifyCommand } from './verify.ts'
import { verifyEvidenceCommand } from './verify-evidence.ts'
import { witnessCommand } from './witness.ts'

/** The program. Its `parseAsync` throws instead of exiting. */
export function buildProgram(): Command {
  const program = new Command('stele')
    .description('A did:plc identity directory with a transparency log.')
    .version(VERSION)
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText('after', '\nExample:\n  $ stele serve\n  $ stele did create --handle alice.example --pds https://pds.example\n\nExit codes: 0 done, 1 failed, 2 wrong command line, 3 done with remarks.')
  const commands = [
    serveCommand(),
    mirrorCommand(),
    initCommand(),
    migrateCommand(),
    signerCommand(),
    recoverLogCommand(),
    mapCommand(),
    keygenCommand(),
    didCommand(),
    resolveCommand(),
    importCommand(),
    exportCommand(),
    proofCommand(),
    stateProofCommand(),
    verifyCommand(),
    verifyEvidenceCommand(),
    fsckCommand(),
    compareCommand(),
    followCommand(),
    monitorCommand(),
    auditCommand(),
    keysCommand(),
    witnessCommand(),
  ]
  for (const command of commands) program.addCommand(command)
  return settle(program)
}

// `addCommand` does not hand down what the parent was told.
function settle(command: Command): Command {
  command.exitOverride().showHelpAfterError('(--help shows what there is)')
  command.configureOutput({ outputError: (text, write) => write(escapeControls(text)) })
  for (const child of command.commands) settle(child)
  return command
}
