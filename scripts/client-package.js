// Lays out the package `stele-client` in a folder: what of this one runs in a browser, and no dependency beside it.
// After `npm run build`: node scripts/client-package.js FOLDER, then `npm publish FOLDER`.

import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const ROOT = join(import.meta.dirname, '..')
const DEPENDENCIES = ['@noble/curves', '@noble/hashes', '@noble/post-quantum', '@scure/base']

const { values, positionals } = parseArgs({ allowPositionals: true, options: { dist: { type: 'string', default: join(ROOT, 'dist') } } })
const [folder] = positionals
if (folder === undefined) throw new Error('name the folder')

const { version, license, engines, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const entry = (room, file = 'index') => ({ types: `./${room}/${file}.d.ts`, default: `./${room}/${file}.js` })

mkdirSync(folder, { recursive: true })
for (const room of ['core', 'client', 'crypto']) cpSync(join(values.dist, room), join(folder, room), { recursive: true })
for (const name of readdirSync(ROOT).filter((name) => name.startsWith('LICENSE'))) cpSync(join(ROOT, name), join(folder, name))
writeFileSync(
  join(folder, 'README.md'),
  '# stele-client\n\nVerifying clients for a Stele directory and its log, for browsers and Node: `stele-client`; the rules alone: `stele-client/core`; and a memory in files and faster signatures, for Node: `stele-client/node`.\n',
)
writeFileSync(
  join(folder, 'package.json'),
  `${JSON.stringify(
    {
      name: 'stele-client',
      version,
      description: 'Verifying clients for a Stele identity directory and its transparency log',
      license,
      type: 'module',
      engines,
      sideEffects: false,
      exports: { '.': entry('client'), './core': entry('core'), './node': entry('client', 'node'), './package.json': './package.json' },
      dependencies: Object.fromEntries(DEPENDENCIES.map((name) => [name, dependencies[name]])),
    },
    null,
    2,
  )}\n`,
)
