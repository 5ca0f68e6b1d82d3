// All commands, as one program.

import { Command } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { escapeControls } from './terminal.ts'

/** Every command, in the order of the help. What a command stands on is loaded with it. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand(),
  mirror: async () => (await import('./mirror.ts')).mirrorCommand(),
  init: async () => (await import('./init.ts')).initCommand(),
  migrate: async () => (await import('./migrate.ts')).migrateCommand(),
  signer: async () => (await import('./signer.ts')).signerCommand(),
  'recover-log': async () => (await import('./recover-log.ts')).recoverLogCommand(),
  map: async () => (await import('./map.ts')).mapCommand(),
  keygen: async () => (await import('./keygen.ts')).keygenCommand(),
  did: async () => (await import('./did.ts')).didCommand(),
  resolve: async () => (await import('./resolve.ts')).resolveCommand(),
  import: async () => (await import('./import.ts')).importCommand(),
  export: async () => (await import('./export.ts')).exportCommand(),
  proof: async () => (await import('./proof.ts')).proofCommand(),
  'state-proof': async () => (await import('./state-proof.ts')).stateProofCommand(),
  verify: async () => (await import('./verify.ts')).verifyCommand(),
  'verify-evidence': async () => (await import('./verify-evidence.ts')).verifyEvidenceCommand(),
  fsck: async () => (await import('./fsck.ts')).fsckCommand(),
  compare: async () => (await import('./compare.ts')).compareCommand(),
  follow: async () => (await import('./follow.ts')).followCommand(),
  monitor: async () => (await import('./monitor.ts')).monitorCommand(),
  audit: async () => (await import('./audit.ts')).auditCommand(),
  keys: async () => (await import('./keys.ts')).keysCommand(),
  witness: async () => (await import('./witness.ts')).witnessCommand(),
}

/** The program, with the command of this name alone, or with all where there is none. Its `parseAsync` throws instead of exiting. */
export async function buildProgram(name = ''): Promise<Command> {
  const program = new Command('stele')
    .description('A did:plc identity directory with a transparency log.')
    .version(packageJson.version)
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText('after', '\nExample:\n  $ stele serve\n  $ stele did create --handle alice.example --pds https://pds.example\n\nExit codes: 0 done, 1 failed, 2 wrong command line, 3 done with remarks.')
  const one = Object.hasOwn(COMMANDS, name)
  for (const [known, load] of Object.entries(COMMANDS)) if (known === name || !one) program.addCommand(await load())
  return settle(program)
}

// `addCommand` does not hand down what the parent was told.
function settle(command: Command): Command {
  command.exitOverride().showHelpAfterError('(--help shows what there is)')
  command.configureOutput({ outputError: (text, write) => write(escapeControls(text)) })
  for (const child of command.commands) settle(child)
  return command
}
