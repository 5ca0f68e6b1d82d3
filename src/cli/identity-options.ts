// What the commands of `stele did` have in common: what an identity says, as options give it.

import { join } from 'node:path'
import type { Command } from 'commander'
import { UsageError } from '../config.ts'
import type { IdentityData, ServiceEndpoint } from '../core/plc/operation.ts'
import { collect } from './options.ts'

/** Options that say what an identity is to say; what is left out stays, or is nothing in a new identity. */
export interface IdentityOptions {
  readonly handle?: string
  readonly pds?: string
  /** Files or did:keys, strongest first. */
  readonly rotationKey?: readonly string[]
  /** File or did:key. */
  readonly signingKey?: string
  /** Names to add. */
  readonly alsoKnownAs?: readonly string[]
  /** ID=TYPE,URL to add or replace. */
  readonly service?: readonly string[]
  /** ID=did:key to add or replace. */
  readonly verificationMethod?: readonly string[]
  readonly removeAlsoKnownAs?: readonly string[]
  readonly removeService?: readonly string[]
  readonly removeVerificationMethod?: readonly string[]
}

/** Where `did create` puts keys and the other commands look for them by default. */
export function defaultKeyFile(stateDir: string, did: string, role: 'rotation' | 'signing'): string {
  return join(stateDir, 'keys', `${did.slice('did:plc:'.length)}.${role}.key`)
}

/** Adds the options that a new identity can have. */
export function addIdentityOptions(command: Command): Command {
  return command
    .option('--handle <name>', 'the handle, such as alice.example.com')
    .option('--pds <url>', 'the personal data server')
    .option('--rotation-key <file or did:key>', 'a key that may change the identity, strongest first; can be repeated', collect)
    .option('--signing-key <file or did:key>', 'the key that signs what the identity publishes')
    .option('--also-known-as <uri>', 'one more name; can be repeated', collect)
    .option('--service <id=type,url>', 'one more service, or another in its place; can be repeated', collect)
    .option('--verification-method <id=did:key>', 'one more public key, or another in its place; can be repeated', collect)
}

/** Adds the options that take something away. */
export function addRemoveOptions(command: Command): Command {
  return command
    .option('--remove-also-known-as <uri>', 'a name to remove; can be repeated', collect)
    .option('--remove-service <id>', 'a service to remove; can be repeated', collect)
    .option('--remove-verification-method <id>', 'a public key to remove; can be repeated', collect)
}

/**
 * What an identity says with what options change; null leaves keys as they are. The first at:// name is the handle.
 * Throws UsageError for an option that says nothing, and for the removal of what is not there.
 */
export function changed(
  data: IdentityData,
  options: IdentityOptions,
  rotationKeys: readonly string[] | null,
  signingKey: string | null,
): IdentityData {
  return {
    rotationKeys: rotationKeys ?? data.rotationKeys,
    verificationMethods: changedMethods(data.verificationMethods, options, signingKey),
    alsoKnownAs: changedNames(data.alsoKnownAs, options),
    services: changedServices(data.services, options),
  }
}

/** The address of a server, with https:// before it where nothing stands there. Throws UsageError for what is no address. */
export function serverUrl(text: string): string {
  const url = /^https?:\/\//.test(text) ? text : `https://${text}`
  if (!URL.canParse(url)) throw new UsageError(`--pds: ${text} is not an address`)
  return url
}

function changedNames(names: readonly string[], { handle, alsoKnownAs = [], removeAlsoKnownAs = [] }: IdentityOptions): readonly string[] {
  for (const name of removeAlsoKnownAs) {
    if (!names.includes(name)) throw new UsageError(`--remove-also-known-as: ${name} is none of the names`)
  }
  const left = names.filter((name) => !removeAlsoKnownAs.includes(name))
  return [...(handle === undefined ? left : withHandle(left, handle)), ...alsoKnownAs]
}

function withHandle(names: readonly string[], handle: string): readonly string[] {
  const name = handle.startsWith('at://') ? handle : `at://${handle}`
  const at = names.findIndex((name) => name.startsWith('at://'))
  return at < 0 ? [name, ...names] : names.with(at, name)
}

function changedServices(services: ReadonlyMap<string, ServiceEndpoint>, { pds, service = [], removeService = [] }: IdentityOptions): ReadonlyMap<string, ServiceEndpoint> {
  const next = new Map(services)
  removeAll(next, '--remove-service', removeService)
  if (pds !== undefined) next.set('atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: serverUrl(pds) })
  for (const text of service) {
    const { id = '', type = '', endpoint = '' } = /^(?<id>[^=]+)=(?<type>[^,]+),(?<endpoint>.+)$/.exec(text)?.groups ?? {}
    if (!URL.canParse(endpoint)) throw new UsageError(`--service: ${text} is not ID=TYPE,URL, such as bsky_notif=BskyNotificationService,https://notify.example`)
    next.set(id, { type, endpoint })
  }
  return next
}

function changedMethods(
  methods: ReadonlyMap<string, string>,
  { verificationMethod = [], removeVerificationMethod = [] }: IdentityOptions,
  signingKey: string | null,
): ReadonlyMap<string, string> {
  const next = new Map(methods)
  removeAll(next, '--remove-verification-method', removeVerificationMethod)
  if (signingKey !== null) next.set('atproto', signingKey)
  for (const text of verificationMethod) {
    const { id = '', key = '' } = /^(?<id>[^=]+)=(?<key>did:key:z\w+)$/.exec(text)?.groups ?? {}
    // Not quoted: what is no public key may be a secret.
    if (key === '') throw new UsageError('--verification-method takes ID=did:key:z..., a name and a public key')
    next.set(id, key)
  }
  return next
}

function removeAll<T>(from: Map<string, T>, flag: string, ids: readonly string[]): void {
  for (const id of ids) {
    if (!from.delete(id)) throw new UsageError(`${flag}: there is no ${id}`)
  }
}
