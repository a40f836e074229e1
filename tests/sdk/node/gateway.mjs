// The gateway under test, the names that the mock vendor answers to, and clients as a user makes
// them: base URL and key, nothing else. No retries: a test wants to see the first answer.
import { readFileSync } from 'node:fs'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import OpenAI from 'openai'

const timeout = 30_000

function needed(name) {
    const value = process.env[name]
    if (!value) throw new Error(`${name} is not set; tests/sdk/serve.py sets it`)
    return value
}

export const url = needed('PENSTOCK_URL').replace(/\/$/, '')
export const key = needed('PENSTOCK_KEY')
export const contract = JSON.parse(readFileSync(needed('PENSTOCK_CONTRACT'), 'utf8'))
export const { models, faults } = contract
export const notAKey = 'sk-pst-' + '0'.repeat(49)

export const openai = ({ prefix = '/v1', apiKey = key } = {}) =>
    new OpenAI({ baseURL: url + prefix, apiKey, maxRetries: 0, timeout })

export const anthropic = ({ prefix = '', ...auth } = { apiKey: key }) =>
    new Anthropic({ baseURL: url + prefix, apiKey: key, maxRetries: 0, timeout, ...auth })

export const gemini = ({ prefix = '', apiKey = key, apiVersion } = {}) =>
    new GoogleGenAI({ apiKey, apiVersion, httpOptions: { baseUrl: url + prefix, timeout } })

// Everything that a stream yields.
export async function all(stream) {
    const found = []
    for await (const item of await stream) found.push(item)
    return found
}

// What a stream yields before it throws, and what it throws.
export async function broken(open) {
    const seen = []
    try {
        for await (const item of await open()) seen.push(item)
    } catch (error) {
        return { seen, error }
    }
    return { seen, error: undefined }
}
