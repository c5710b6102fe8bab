/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as the words that IANA has registered for them (TLS parameters, TLS extensions). */
#include "proto/tls.h"

#include <stdio.h>

static const struct gg__tls_number versions[] = {
  {0x0002, "ssl2"}, {0x0300, "ssl3"}, {0x0301, "1.0"}, {0x0302, "1.1"}, {0x0303, "1.2"}, {0x0304, "1.3"},
};

static const struct gg__tls_number extensions[] = {
  {0, "server_name"},
  {1, "max_fragment_length"},
  {2, "client_certificate_url"},
  {3, "trusted_ca_keys"},
  {4, "truncated_hmac"},
  {5, "status_request"},
  {6, "user_mapping"},
  {7, "client_authz"},
  {8, "server_authz"},
  {9, "cert_type"},
  {10, "supported_groups"},
  {11, "ec_point_formats"},
  {12, "srp"},
  {13, "signature_algorithms"},
  {14, "use_srtp"},
  {15, "heartbeat"},
  {16, "application_layer_protocol_negotiation"},
  {17, "status_request_v2"},
  {18, "signed_certificate_timestamp"},
  {19, "client_certificate_type"},
  {20, "server_certificate_type"},
  {21, "padding"},
  {22, "encrypt_then_mac"},
  {23, "extended_master_secret"},
  {24, "token_binding"},
  {25, "cached_info"},
  {26, "tls_lts"},
  {27, "compress_certificate"},
  {28, "record_size_limit"},
  {34, "delegated_credentials"},
  {35, "session_ticket"},
  {41, "pre_shared_key"},
  {42, "early_data"},
  {43, "supported_versions"},
  {44, "cookie"},
  {45, "psk_key_exchange_modes"},
  {47, "certificate_authorities"},
  {48, "oid_filters"},
  {49, "post_handshake_auth"},
  {50, "signature_algorithms_cert"},
  {51, "key_share"},
  {52, "transparency_info"},
  {54, "connection_id"},
  {55, "external_id_hash"},
  {56, "external_session_id"},
  {57, "quic_transport_parameters"},
  {58, "ticket_request"},
  {59, "dnssec_chain"},
  {13172, "next_protocol_negotiation"},
  {17513, "application_settings"},
  {17613, "application_settings_new"},
  {30031, "channel_id_old"},
  {30032, "channel_id"},
  {64768, "ech_outer_extensions"},
  {65037, "encrypted_client_hello"},
  {65281, "renegotiation_info"},
  {65486, "encrypted_server_name"},
};

static const struct gg__tls_number groups[] = {
  {0x0001, "sect163k1"},
  {0x0002, "sect163r1"},
  {0x0003, "sect163r2"},
  {0x0004, "sect193r1"},
  {0x0005, "sect193r2"},
  {0x0006, "sect233k1"},
  {0x0007, "sect233r1"},
  {0x0008, "sect239k1"},
  {0x0009, "sect283k1"},
  {0x000a, "sect283r1"},
  {0x000b, "sect409k1"},
  {0x000c, "sect409r1"},
  {0x000d, "sect571k1"},
  {0x000e, "sect571r1"},
  {0x000f, "secp160k1"},
  {0x0010, "secp160r1"},
  {0x0011, "secp160r2"},
  {0x0012, "secp192k1"},
  {0x0013, "secp192r1"},
  {0x0014, "secp224k1"},
  {0x0015, "secp224r1"},
  {0x0016, "secp256k1"},
  {0x0017, "secp256r1"},
  {0x0018, "secp384r1"},
  {0x0019, "secp521r1"},
  {0x001a, "brainpoolP256r1"},
  {0x001b, "brainpoolP384r1"},
  {0x001c, "brainpoolP512r1"},
  {0x001d, "x25519"},
  {0x001e, "x448"},
  {0x001f, "brainpoolP256r1tls13"},
  {0x0020, "brainpoolP384r1tls13"},
  {0x0021, "brainpoolP512r1tls13"},
  {0x0029, "curveSM2"},
  {0x0100, "ffdhe2048"},
  {0x0101, "ffdhe3072"},
  {0x0102, "ffdhe4096"},
  {0x0103, "ffdhe6144"},
  {0x0104, "ffdhe8192"},
  {0x0200, "MLKEM512"},
  {0x0201, "MLKEM768"},
  {0x0202, "MLKEM1024"},
  {0x11eb, "SecP256r1MLKEM768"},
  {0x11ec, "X25519MLKEM768"},
  {0x11ed, "SecP384r1MLKEM1024"},
  {0x6399, "X25519Kyber768Draft00"},
};

static const struct gg__tls_number alerts[] = {
  {0, "close_notify"},
  {1, "end_of_early_data"},
  {10, "unexpected_message"},
  {20, "bad_record_mac"},
  {21, "decryption_failed"},
  {22, "record_overflow"},
  {30, "decompression_failure"},
  {40, "handshake_failure"},
  {41, "no_certificate"},
  {42, "bad_certificate"},
  {43, "unsupported_certificate"},
  {44, "certificate_revoked"},
  {45, "certificate_expired"},
  {46, "certificate_unknown"},
  {47, "illegal_parameter"},
  {48, "unknown_ca"},
  {49, "access_denied"},
  {50, "decode_error"},
  {51, "decrypt_error"},
  {60, "export_restriction"},
  {70, "protocol_version"},
  {71, "insufficient_security"},
  {80, "internal_error"},
  {86, "inappropriate_fallback"},
  {90, "user_canceled"},
  {100, "no_renegotiation"},
  {109, "missing_extension"},
  {110, "unsupported_extension"},
  {111, "certificate_unobtainable"},
  {112, "unrecognized_name"},
  {113, "bad_certificate_status_response"},
  {114, "bad_certificate_hash_value"},
  {115, "unknown_psk_identity"},
  {116, "certificate_required"},
  {120, "no_application_protocol"},
  {121, "ech_required"},
};

static const char *name_of(const struct gg__tls_number *table, size_t count, uint16_t number, char *hex)
{
  size_t low = 0;
  for (size_t high = count; low < high;) {
    size_t middle = low + (high - low) / 2;
    if (table[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < count && table[low].number == number)
    return table[low].name;
  snprintf(hex, GG__TLS_HEX_MAX, "0x%04x", number);
  return hex;
}
#define NAME_OF(table, number, hex) name_of(table, sizeof(table) / sizeof *(table), number, hex)

const char *gg__tls_version_name(uint16_t version, char hex[GG__TLS_HEX_MAX])
{
  return NAME_OF(versions, version, hex);
}

const char *gg__tls_cipher_name(uint16_t cipher, char hex[GG__TLS_HEX_MAX])
{
  return name_of(gg__tls_ciphers, gg__tls_cipher_count, cipher, hex);
}

const char *gg__tls_extension_name(uint16_t extension, char hex[GG__TLS_HEX_MAX])
{
  return NAME_OF(extensions, extension, hex);
}

const char *gg__tls_group_name(uint16_t group, char hex[GG__TLS_HEX_MAX])
{
  return NAME_OF(groups, group, hex);
}

const char *gg__tls_alert_name(uint8_t alert, char hex[GG__TLS_HEX_MAX])
{
  return NAME_OF(alerts, alert, hex);
}
