// The settings of config.ts as options of commands: the flag is given here, environment and default are read there.

import { Option, type Command } from 'commander'
import { readDirectoryUrl, SETTINGS, type Setting, type SettingName } from '../config.ts'
import { directoryClient, type DirectoryClient } from '../client/directory-client.ts'

/** Flags that were given, by the names of `SETTINGS`. */
export type Flags = Partial<Record<SettingName, string>>

/** Where a log is stored, and how much is said about it. */
export const STORAGE_SETTINGS: readonly SettingName[] = ['data', 'database-url', 'log-level']

/** What belongs to the signer of a log. */
export const SIGNER_SETTINGS: readonly SettingName[] = [...STORAGE_SETTINGS, 'key', 'guard']

/** Which directory a command talks to. */
export const CLIENT_SETTINGS: readonly SettingName[] = ['url', 'log-level']

/** What a log is made of. */
export const LOG_SETTINGS: readonly SettingName[] = ['data', 'database-url', 'origin', 'key', 'guard', 'log-level']

/** Everything that the directory itself reads. */
export const DIRECTORY_SETTINGS: readonly SettingName[] = settingNames().filter((name) => name !== 'url')

/** Adds the options of settings to a command. Their help names the environment variables and the default. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) command.addOption(settingOption(name, SETTINGS[name]))
  return command
}

/** The settings among a command's options, as `readConfig` takes them. */
export function flagsOf(command: Command): Flags {
  const given: Record<string, unknown> = command.optsWithGlobals()
  const flags: Flags = {}
  for (const name of settingNames()) {
    const value = given[camelCase(name)]
    if (typeof value === 'string') flags[name] = value
    if (value === true) flags[name] = 'true'
    // Commander takes `--no-map` for the end of a `--map` that is there without it.
    if (name.startsWith('no-') && given[camelCase(name.slice('no-'.length))] === false) flags[name] = 'true'
  }
  return flags
}

/** The directory that a command talks to. Somebody waits at the terminal: three attempts, then words. */
export function directoryOf(command: Command): DirectoryClient {
  return directoryClient(readDirectoryUrl(flagsOf(command)), { attempts: 3 })
}

/** Collects an option that may be given more than once. */
export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value]
}

function settingNames(): SettingName[] {
  return Object.keys(SETTINGS).filter((name): name is SettingName => name in SETTINGS)
}

function settingOption(name: string, setting: Setting): Option {
  const sources = setting.env.map((variable) => `$${variable}`).join(' or ')
  const fallback = setting.fallback === null ? '' : `; default ${setting.fallback}`
  return new Option(setting.value === null ? `--${name}` : `--${name} <${setting.value}>`, `${setting.help} (${sources}${fallback})`)
}

function camelCase(name: string): string {
  return name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
