/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/form.h"

#include "proto/secrets.h"

void gg__form_init(struct gg__form *form, void (*pair)(void *context, const struct gg__form_pair *pair), void *context)
{
  form->pair = pair;
  form->context = context;
  form->offset = 0;
  form->now = (struct gg__form_pair){0};
  form->held_length = 0;
  form->begun = false;
}

static void add(struct gg__form *form, char letter)
{
  struct gg__form_pair *now = &form->now;
  if (!now->has_value && now->key_length < sizeof form->key)
    form->key[now->key_length++] = letter;
  else if (!now->has_value)
    now->key_cut = true;
  else if (now->value_length < sizeof form->value)
    form->value[now->value_length++] = letter;
  else
    now->value_cut = true;
}

/* What looked like the beginning of a %XX is none. */
static void give_back(struct gg__form *form)
{
  for (size_t i = 0; i < form->held_length; i++) {
    form->now.odd = true;
    add(form, form->held[i]);
  }
  form->held_length = 0;
}

static void tell(struct gg__form *form)
{
  struct gg__form_pair *now = &form->now;
  give_back(form);
  now->raw_length = now->has_value ? form->offset - now->raw_offset : 0;
  now->key_raw_length = (now->has_value ? now->raw_offset - 1 : form->offset) - now->key_offset;
  now->key = form->key;
  now->value = form->value;
  now->secret = gg__secret_name(form->key, now->key_length);
  if (form->begun)
    form->pair(form->context, now);
  *now = (struct gg__form_pair){0};
  form->begun = false;
}

static int digit_of(char letter)
{
  return letter >= '0' && letter <= '9'   ? letter - '0'
         : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
         : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                          : -1;
}

static void take(struct gg__form *form, char letter)
{
  if (form->held_length && digit_of(letter) >= 0) {
    if (form->held_length == 2) {
      add(form, (char)(digit_of(form->held[1]) << 4 | digit_of(letter)));
      form->held_length = 0;
    } else {
      form->held[form->held_length++] = letter;
    }
    return;
  }
  give_back(form);
  if (letter == '%')
    form->held[form->held_length++] = letter;
  else if (letter == '=' && !form->now.has_value) {
    form->now.has_value = true;
    form->now.raw_offset = form->offset + 1;
  } else
    add(form, letter == '+' ? ' ' : letter);
}

void gg__form_push(struct gg__form *form, const void *data, size_t length)
{
  const char *text = data;
  for (size_t i = 0; i < length; i++, form->offset++) {
    if (text[i] == '&') {
      tell(form);
      continue;
    }
    if (!form->begun)
      form->now.key_offset = form->offset;
    form->begun = true;
    take(form, text[i]);
  }
}

void gg__form_finish(struct gg__form *form)
{
  tell(form);
}
