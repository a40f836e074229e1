// The Google GenAI client: content, streams, token counts, embeddings, models.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ApiError } from '@google/genai'
import { all, broken, faults, gemini, models, notAKey } from './gateway.mjs'

const client = gemini()
const hello = { model: models.gemini, contents: 'Say hello.' }
const finished = (chunks) => chunks.map((chunk) => chunk.candidates?.[0]?.finishReason).filter(Boolean)

suite('content', () => {
    for (const apiVersion of [undefined, 'v1', 'v1beta']) {
        test(`whole and streamed, ${apiVersion ?? 'the default version'}`, async () => {
            const { models: api } = gemini({ apiVersion })
            const whole = await api.generateContent(hello)
            assert.ok(whole.text)
            assert.equal(whole.candidates[0].finishReason, 'STOP')
            assert.ok(whole.usageMetadata.totalTokenCount > 0)
            const chunks = await all(api.generateContentStream(hello))
            assert.ok(chunks.length > 1)
            assert.equal(chunks.map((chunk) => chunk.text ?? '').join(''), whole.text)
            assert.deepEqual(finished(chunks), ['STOP'])
        })
    }

    test('a model with its prefix', async () => {
        const ask = { ...hello, model: `models/${models.gemini}` }
        assert.ok((await client.models.generateContent(ask)).text)
    })

    test('chat helper', async () => {
        const chat = client.chats.create({ model: models.gemini })
        assert.ok((await chat.sendMessage({ message: 'Hello.' })).text)
        assert.ok((await all(chat.sendMessageStream({ message: 'And again.' }))).length > 1)
        assert.equal(chat.getHistory(true).length, chat.getHistory(false).length)
    })

    test('count tokens', async () => {
        assert.ok((await client.models.countTokens(hello)).totalTokens > 0)
    })

    test('count tokens of another vendor', async () => {
        for (const model of [models.chat, models.messages])
            assert.ok((await client.models.countTokens({ ...hello, model })).totalTokens > 0)
    })

    test('embed content', async () => {
        const ask = { model: models.gemini_embedding, contents: ['one', 'two'] }
        const { embeddings } = await client.models.embedContent(ask)
        const values = [0.25, -0.5, 0.125]
        assert.deepEqual(embeddings.map((item) => item.values), [values, values])
    })
})

suite('models', () => {
    test('list and get', async () => {
        const name = `models/${models.gemini}`
        const listed = (await all(client.models.list())).map((model) => model.name)
        assert.ok(listed.includes(name), listed.join())
        assert.equal((await client.models.get({ model: models.gemini })).name, name)
    })
})

suite('base URLs', () => {
    for (const prefix of ['', '/gemini', '/google', '/api']) {
        test(prefix || '(none)', async () => {
            assert.ok((await gemini({ prefix }).models.generateContent(hello)).text)
        })
    }
})

suite('errors', () => {
    const withStatus = (status, name) => (error) =>
        error instanceof ApiError && error.status === status && error.message.includes(name)

    test('bad key', async () => {
        const ask = gemini({ apiKey: notAKey }).models.generateContent(hello)
        await assert.rejects(ask, withStatus(401, 'UNAUTHENTICATED'))
    })

    test('unknown model', async () => {
        const ask = { ...hello, model: models.unknown }
        await assert.rejects(client.models.generateContent(ask), withStatus(404, 'NOT_FOUND'))
        await assert.rejects(client.models.generateContentStream(ask), withStatus(404, 'NOT_FOUND'))
    })

    test('rate limit', async () => {
        const ask = client.models.generateContent({ ...hello, model: faults.rate_limit })
        await assert.rejects(ask, withStatus(429, 'RESOURCE_EXHAUSTED'))
    })

    test('an error before any content is a status', async () => {
        const ask = client.models.generateContentStream({ ...hello, model: faults.early_error })
        await assert.rejects(ask, withStatus(503, 'UNAVAILABLE'))
    })

    for (const fault of ['error_event', 'cut', 'reset', 'no_end']) {
        test(`a stream that breaks is an error, not an end: ${fault}`, async () => {
            const { seen, error } = await broken(() =>
                client.models.generateContentStream({ ...hello, model: faults[fault] }),
            )
            assert.ok(error instanceof ApiError, String(error))
            assert.deepEqual(finished(seen), [])
        })
    }
})
