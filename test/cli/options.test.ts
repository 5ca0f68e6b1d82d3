import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { changed } from '../../src/cli/identity-options.ts'
import { addSettings, DIRECTORY_SETTINGS, flagsOf } from '../../src/cli/options.ts'
import { readConfig, readDirectoryUrl, readDuration, readLogLevel, SETTINGS } from '../../src/config.ts'
import type { IdentityData } from '../../src/core/plc/operation.ts'

function parsed(args: readonly string[]): Command {
  return addSettings(new Command('x').exitOverride(), [...DIRECTORY_SETTINGS, 'url']).parse([...args], { from: 'user' })
}

describe('the settings as options', () => {
  it('are all there, each with its variables and its default', () => {
    const help = parsed([]).helpInformation().replaceAll(/\s+/g, ' ')
    for (const [name, { env, fallback }] of Object.entries(SETTINGS)) {
      expect(help).toMatch(new RegExp(` --${name} [a-z<]`))
      for (const variable of env) expect(help).toContain(`$${variable}`)
      if (fallback !== null) expect(help).toContain(`default ${fallback}`)
    }
  })

  it('are given by name, and only those that were given', () => {
    expect(flagsOf(parsed([]))).toEqual({})
    expect(flagsOf(parsed(['--database-url', 'postgres://x', '--port', '0', '--checkpoint-interval', '250ms']))).toEqual({ 'database-url': 'postgres://x', port: '0', 'checkpoint-interval': '250ms' })
  })

  it('count before the environment, that before the default', () => {
    const env = { STELE_PORT: '7', STELE_URL: 'http://from.env/', STELE_LOG_LEVEL: 'warn' }
    expect(readConfig(flagsOf(parsed(['--port', '9'])), env).port).toBe(9)
    expect(readConfig(flagsOf(parsed([])), env).port).toBe(7)
    expect(readConfig(flagsOf(parsed([])), {}).port).toBe(2582)
    expect(readDirectoryUrl(flagsOf(parsed(['--url', 'https://from.flag//'])), env)).toBe('https://from.flag')
    expect(readDirectoryUrl({}, env)).toBe('http://from.env')
    expect(readDirectoryUrl({}, { STELE_URL: '' })).toBe('http://127.0.0.1:2582')
    expect([readLogLevel({ 'log-level': 'debug' }, env), readLogLevel({}, env), readLogLevel({}, {})]).toEqual(['debug', 'warn', 'info'])
  })

  it('give the rates of witnesses, which go with a policy', () => {
    const rates = (text: string, policy = ['--policy', 'p']): [string, number][] => [...readConfig(flagsOf(parsed(['--witness-rate', text, ...policy])), {}).witnessRates]
    expect(rates('alice=500')).toEqual([['alice', 500]])
    expect(rates('alice=500, bob.example/w=1')).toEqual([['alice', 500], ['bob.example/w', 1]])
    for (const wrong of ['', 'alice', 'alice=', 'alice=0', 'alice=-1', 'alice=1.5', 'alice=1,', '=5', 'alice=99999999']) expect(() => rates(wrong), wrong).toThrow(/--witness-rate: .* such as alice=500/)
    expect(() => rates('alice=500', [])).toThrow('--witness-rate goes with --policy')
    expect(readConfig({}, {})).toMatchObject({ policyFile: null, witnessFailOpen: false })
  })

  it('are refused in words where they are none', () => {
    for (const url of ['', 'directory.example', 'file:///etc/passwd', 'ws://x']) expect(() => readDirectoryUrl({ url }, {})).toThrow('--url')
    expect(() => readLogLevel({ 'log-level': 'loud' }, {})).toThrow('--log-level')
    for (const text of ['', '5', 'soon', '2h', '-1s']) expect(() => readDuration('--timeout', text, { min: 0, max: 3_600_000 })).toThrow('--timeout')
    expect(readDuration('--timeout', '1h', { min: 0, max: 3_600_000 })).toBe(3_600_000)
  })
})

describe('what an identity says, changed', () => {
  const data: IdentityData = {
    rotationKeys: ['did:key:a'],
    verificationMethods: new Map([['other', 'did:key:b'], ['atproto', 'did:key:c']]),
    alsoKnownAs: ['https://alice.example', 'at://alice.example', 'at://second.example'],
    services: new Map([['other', { type: 'Other', endpoint: 'https://other.example' }]]),
  }

  it('is the same where nothing is named', () => {
    expect(changed(data, {}, null, null)).toEqual(data)
  })

  it('changes the first at:// name, the server, the signing key, all rotation keys, and nothing else', () => {
    const next = changed(data, { handle: 'bob.example', pds: 'pds.example' }, ['did:key:x', 'did:key:y'], 'did:key:z')
    expect(next).toEqual({
      rotationKeys: ['did:key:x', 'did:key:y'],
      verificationMethods: new Map([['other', 'did:key:b'], ['atproto', 'did:key:z']]),
      alsoKnownAs: ['https://alice.example', 'at://bob.example', 'at://second.example'],
      services: new Map([
        ['other', { type: 'Other', endpoint: 'https://other.example' }],
        ['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' }],
      ]),
    })
    expect(changed({ ...data, alsoKnownAs: [] }, { handle: 'at://bob.example' }, null, null).alsoKnownAs).toEqual(['at://bob.example'])
    expect(() => changed(data, { pds: 'http://' }, null, null)).toThrow('--pds')
  })

  it('gains and loses names, services and public keys', () => {
    const key = 'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme'
    const next = changed(
      data,
      {
        alsoKnownAs: ['https://bob.example'],
        removeAlsoKnownAs: ['at://second.example'],
        service: ['notes=NoteService,https://notes.example/?a=b,c', 'other=Other,https://new.example'],
        verificationMethod: [`label=${key}`],
        removeVerificationMethod: ['other'],
      },
      null,
      null,
    )
    expect(next.alsoKnownAs).toEqual(['https://alice.example', 'at://alice.example', 'https://bob.example'])
    expect(next.services).toEqual(new Map([['other', { type: 'Other', endpoint: 'https://new.example' }], ['notes', { type: 'NoteService', endpoint: 'https://notes.example/?a=b,c' }]]))
    expect(next.verificationMethods).toEqual(new Map([['atproto', 'did:key:c'], ['label', key]]))
    expect(changed(data, { removeService: ['other'] }, null, null).services.size).toBe(0)
  })

  it('is refused in words that never quote what may be a secret', () => {
    for (const service of ['notes', 'notes=NoteService', 'notes=NoteService,notes.example', '=NoteService,https://notes.example']) expect(() => changed(data, { service: [service] }, null, null)).toThrow('--service')
    expect(() => changed(data, { removeService: ['none'] }, null, null)).toThrow('there is no none')
    expect(() => changed(data, { removeVerificationMethod: ['none'] }, null, null)).toThrow('there is no none')
    expect(() => changed(data, { removeAlsoKnownAs: ['at://none.example'] }, null, null)).toThrow('none of the names')
    expect(() => changed(data, { verificationMethod: ['label=zSecret'] }, null, null)).toThrow(/^--verification-method takes ID=did:key:z\.\.\., a name and a public key$/)
  })
})
