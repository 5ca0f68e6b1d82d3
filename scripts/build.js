// Emits the publishable package: `dist/` with JavaScript and types. Run by `npm run build`.

import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

rmSync('dist', { recursive: true, force: true })
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' })

// What is in src/ here is in dist/ there, and the mirror, which is beside src/ here, is in dist/mirror/ there.
cpSync('dist/src', 'dist', { recursive: true })
rmSync('dist/src', { recursive: true })
rmSync('dist/package.json', { force: true })
for (const name of readdirSync('dist/mirror')) rewrite(join('dist/mirror', name), [["'../package.json'", "'../../package.json'"], ["'../src/", "'../"]])
for (const name of ['mirror.js', 'mirror.d.ts']) rewrite(join('dist/cli', name), [["'../../mirror/", "'../mirror/"]])

/** @type {(file: string, changes: [string, string][]) => void} */
function rewrite(file, changes) {
  writeFileSync(file, changes.reduce((text, [from, to]) => text.replaceAll(from, to), readFileSync(file, 'utf8')))
}
