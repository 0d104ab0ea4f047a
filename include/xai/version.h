/* libxai: version and export marker. Plain text, not generated. */
#ifndef XAI_VERSION_H
#define XAI_VERSION_H

#define XAI_VERSION_MAJOR 0
#define XAI_VERSION_MINOR 1
#define XAI_VERSION_PATCH 0
#define XAI_VERSION_STRING "0.1.0"

#if defined(XAI_STATIC)
#define XAI_API
#elif defined(_WIN32)
#ifdef XAI_BUILDING
#define XAI_API __declspec(dllexport)
#else
#define XAI_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define XAI_API __attribute__((visibility("default")))
#else
#define XAI_API
#endif

#endif
