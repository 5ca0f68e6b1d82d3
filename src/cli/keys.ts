// `stele keys`: the keys of a log, as one of them that is known vouches for the others. spec/log.md#rotation

import { Command } from 'commander'
import { readKeyStatement } from '../client/keys.ts'
import { readDirectoryUrl } from '../config.ts'
import { formatVerifierKey } from '../core/tlog/note.ts'
import { addSettings, CLIENT_SETTINGS, collect, flagsOf } from './options.ts'
import { print } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function keysCommand(): Command {
  return addSettings(new Command('keys'), CLIENT_SETTINGS)
    .description('Print the verifier keys with which a log signs now, one a line, where a key of it that you know vouches for them.')
    .argument('[url]', "the log's prefix, which is the address of a directory (default: --url)")
    .requiredOption('--vkey <key or file>', VKEY_HELP, collect)
    .option('--map', 'of the log of the map, which has keys of its own')
    .option('--retired', 'print those that signed before as well, for old receipts')
    .addHelpText('after', '\nExample:\n  $ stele keys https://directory.example --vkey log.vkey > new.vkey')
    .action(async (url: string | undefined, options: { vkey: readonly string[]; map?: true; retired?: true }, command: Command) => {
      const flags = flagsOf(command)
      const { signing, retired } = await readKeyStatement(readDirectoryUrl(url === undefined ? flags : { ...flags, url }), readVerifierKeys(options.vkey), { attempts: 3 }, options.map === true ? 'map/keys' : 'log/keys')
      for (const key of [...signing, ...(options.retired === true ? retired : [])]) print(formatVerifierKey(key))
    })
}
